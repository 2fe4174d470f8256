"""Visits expanded into events: what somebody does between opening the product and leaving it.

A visit is a chain of small scenes (a like in the feed, a search with its click, a look at a profile,
a suggested account followed) with human pauses between them. A visit with a goal starts with it.
"""

from __future__ import annotations

import numpy as np

from streams.simulator.columns import EVENT, Bools, Floats, Goal, Ints, Rows, Surface, Verb, join, rows
from streams.simulator.population import Population
from streams.simulator.sampling import gaps_s, lengths, stochastic_round

_JOIN_FOLLOWS = 2.5
"""Suggested accounts that a newcomer follows on the first visit, on average."""


class Scenes:
    """The scenes of a batch of visits, flattened: when, who, in which visit, towards what."""

    __slots__ = ("actor", "at", "goal", "source", "visit")

    def __init__(self, at: Ints, actor: Ints, visit: Ints, goal: Ints, source: Ints) -> None:
        self.at, self.actor, self.visit, self.goal, self.source = at, actor, visit, goal, source

    def where(self, chosen: Bools) -> Scenes:
        """Keep the chosen scenes only."""
        return Scenes(self.at[chosen], self.actor[chosen], self.visit[chosen], self.goal[chosen], self.source[chosen])


def expand(world: Population, visits: Rows, rng: np.random.Generator) -> Rows:
    """Events of the visits, unordered. Nothing here depends on how visits were batched but the draws."""
    if len(visits) == 0:
        return rows(EVENT, 0)
    scenes = _lay_out(world, visits, rng)
    kind = _kinds(world, scenes, rng)
    browsing = scenes.goal == Goal.BROWSE
    made = [
        _feed_likes(world, scenes.where(browsing & (kind == 0)), rng),
        _searches(world, scenes.where(browsing & (kind == 1)), None, rng),
        _profiles(world, scenes.where(browsing & (kind == 2)), rng),
        _suggestions(world, scenes.where(browsing & (kind == 3)), rng, 1.6),
    ]
    if not browsing.all():
        made += _goals(world, visits, scenes, rng)
    events = join(made, EVENT)
    # Nobody likes their own note or follows themselves or somebody who is not there yet; a target that could
    # not be drawn is no event.
    target = events["account"]
    there = (target >= 0) & (world.accounts.created[np.maximum(target, 0)] <= events["ts"])
    sensible = (target != events["actor"]) & (there | (events["verb"] == Verb.SEARCH))
    return np.asarray(events[sensible])


def _lay_out(world: Population, visits: Rows, rng: np.random.Generator) -> Scenes:
    habits = world.habits
    aimed = visits["goal"] != Goal.BROWSE
    usual = lengths(rng, len(visits), habits.length_form, habits.length_mean)
    # Many do one thing and are gone: all that is seen of most visits is a single event.
    usual = np.where(rng.random(len(visits)) < habits.hasty, np.where(aimed, 0, 1), usual)
    count = np.where(
        aimed, 1 + stochastic_round(rng, usual.astype(np.float64) * visits["more"].astype(np.float64)), usual
    )
    source = np.repeat(np.arange(len(visits)), count)
    first = np.cumsum(count) - count
    pause = gaps_s(rng, len(source), habits.gap_form, habits.gap_median_s, habits.gap_spread)
    pause[first] = 0.0
    run = np.cumsum(pause)
    at = visits["at"][source] + ((run - run[first][source]) * 1000.0).astype(np.int64)
    goal = np.zeros(len(source), dtype=np.int64)
    goal[first] = visits["goal"]
    salt = rng.integers(0, 1 << 32, len(visits))
    return Scenes(at, visits["actor"][source].astype(np.int64), salt[source], goal, source)


def _kinds(world: Population, scenes: Scenes, rng: np.random.Generator) -> Ints:
    draw = rng.random(len(scenes.actor))
    return np.asarray((draw[:, None] > world.accounts.taste[scenes.actor]).sum(axis=1))


def _goals(world: Population, visits: Rows, scenes: Scenes, rng: np.random.Generator) -> list[Rows]:
    made: list[Rows] = []
    extra = visits["extra"].astype(np.float64)
    for goal in (Goal.LIKE, Goal.FOLLOW, Goal.SEARCH, Goal.JOIN):
        part = scenes.where(scenes.goal == goal)
        if len(part.at) == 0:
            continue
        aim = visits[part.source]
        if goal == Goal.JOIN:
            made.append(_suggestions(world, part, rng, _JOIN_FOLLOWS))
        elif goal == Goal.SEARCH:
            made.append(_searches(world, part, aim["keyword"].astype(np.int64), rng))
        elif goal == Goal.LIKE:
            note = aim["note"].astype(np.int64)
            made.append(_likes(world, part, note, aim["surface"], extra[part.source], rng))
        else:
            made.append(_event(part, Verb.FOLLOW, aim["surface"], account=aim["account"]))
            also = (rng.random(len(part.at)) < extra[part.source]) & (aim["note"] >= 0)
            later = part.where(also)
            later.at = later.at + _reading_ms(world, len(later.at), rng)
            made.append(_event(later, Verb.LIKE, Surface.PROFILE, note=aim["note"][also], account=aim["account"][also]))
    return made


def _event(scenes: Scenes, verb: Verb, surface: object, **values: object) -> Rows:
    return rows(
        EVENT,
        len(scenes.at),
        ts=scenes.at,
        actor=scenes.actor,
        visit=scenes.visit,
        verb=verb,
        surface=surface,
        **values,
    )


def _reading_ms(world: Population, count: int, rng: np.random.Generator) -> Ints:
    habits = world.habits
    return (gaps_s(rng, count, "lognormal", habits.reading_median_s, 0.9) * 1000.0).astype(np.int64)


def _surfaces(world: Population, count: int, usual: Surface, rng: np.random.Generator) -> Ints:
    """Draw the usual surface, sometimes the opened note, sometimes a link from outside."""
    draw = rng.random(count)
    habits = world.habits
    return np.where(
        draw < habits.external,
        int(Surface.EXTERNAL),
        np.where(draw < habits.external + habits.like_from_note, int(Surface.NOTE), int(usual)),
    )


def _feed_likes(world: Population, scenes: Scenes, rng: np.random.Generator) -> Rows:
    own = world.accounts.community[scenes.actor].astype(np.int64)
    note = world.attention.by_community.draw_mixed(rng, own, world.habits.homophily)
    loyal = np.flatnonzero(rng.random(len(note)) < world.habits.loyalty)
    known = world.attention.by_author.draw(rng, world.beloved(rng, scenes.actor[loyal]))
    note[loyal] = np.where(known >= 0, known, note[loyal])
    surface = _surfaces(world, len(note), Surface.FEED, rng)
    chance = np.full(len(note), world.habits.follow_after_like)
    return _likes(world, scenes, note, surface, chance, rng)


def _likes(
    world: Population, scenes: Scenes, note: Ints, surface: object, follow: Floats, rng: np.random.Generator
) -> Rows:
    author = np.where(note >= 0, world.notes.author[note], -1)
    liked = _event(scenes, Verb.LIKE, surface, note=note, account=author)
    also = rng.random(len(note)) < follow
    later = scenes.where(also)
    later.at = later.at + _reading_ms(world, len(later.at), rng)
    via = np.where(rng.random(len(later.at)) < 0.5, int(Surface.PROFILE), int(Surface.NOTE))
    return join([liked, _event(later, Verb.FOLLOW, via, account=author[also])], EVENT)


def _searches(world: Population, scenes: Scenes, keyword: Ints | None, rng: np.random.Generator) -> Rows:
    habits = world.habits
    if keyword is None:
        own = world.accounts.community[scenes.actor].astype(np.int64)
        keyword = world.keywords.index.draw_mixed(rng, own, habits.homophily)
        keyword = np.where(keyword < 0, world.keywords.index.draw_any(rng, len(keyword)), keyword)
    made = [*_clicked(world, scenes, keyword, habits.click_rate, rng)]
    again = rng.random(len(keyword)) < habits.second_click * habits.click_rate
    second = scenes.where(again)
    second.at = second.at + 2_000 + _reading_ms(world, len(second.at), rng)
    made += _clicked(world, second, keyword[again], 1.0, rng, deeper=1.8)
    return join(made, EVENT)


def _clicked(
    world: Population, scenes: Scenes, keyword: Ints, click_rate: float, rng: np.random.Generator, deeper: float = 1.0
) -> list[Rows]:
    """Make searches, most with a click, and what the click leads to."""
    habits = world.habits
    position, note = world.keywords.click(rng, keyword, deeper)
    clicked = (rng.random(len(keyword)) < click_rate) & (note >= 0)
    note = np.where(clicked, note, -1)
    author = np.where(clicked, world.notes.author[note], -1)
    draw = rng.random(len(keyword))
    surface = np.where(draw < habits.search_from_feed, int(Surface.FEED), int(Surface.SEARCH))
    surface = np.where(draw > 1.0 - 0.5 * habits.external, int(Surface.EXTERNAL), surface)
    searched = _event(
        scenes, Verb.SEARCH, surface, keyword=keyword, note=note, account=author,
        position=np.where(clicked, position, 0),
    )  # fmt: skip
    draw = rng.random(len(keyword))
    liked = clicked & (draw < habits.like_after_click)
    likes = scenes.where(liked)
    likes.at = likes.at + 1_500 + _reading_ms(world, len(likes.at), rng)
    via = np.where(rng.random(len(likes.at)) < habits.like_from_note, int(Surface.NOTE), int(Surface.SEARCH))
    follows_too = np.full(len(likes.at), habits.follow_after_click)
    return [searched, _likes(world, likes, note[liked], via, follows_too, rng)]


def _profiles(world: Population, scenes: Scenes, rng: np.random.Generator) -> Rows:
    """Look at somebody's profile: like some notes in a row, perhaps follow."""
    habits = world.habits
    own = world.accounts.community[scenes.actor].astype(np.int64)
    author = world.crowd.by_fame.draw_mixed(rng, own, habits.homophily)
    author = np.where(rng.random(len(author)) < habits.loyalty, world.beloved(rng, scenes.actor), author)
    count = np.minimum(rng.geometric(0.45, len(author)), 12)
    source = np.repeat(np.arange(len(author)), count)
    pause = gaps_s(rng, len(source), habits.gap_form, 0.6 * habits.gap_median_s, habits.gap_spread)
    first = np.cumsum(count) - count
    pause[first] = 0.0
    run = np.cumsum(pause)
    at = scenes.at[source] + ((run - run[first][source]) * 1000.0).astype(np.int64)
    looks = Scenes(at, scenes.actor[source], scenes.visit[source], scenes.goal[source], source)
    note = world.attention.by_author.draw(rng, np.maximum(author, 0)[source])
    liked = _event(
        looks, Verb.LIKE, Surface.PROFILE, note=note, account=np.where(note >= 0, world.notes.author[note], -1)
    )
    also = rng.random(len(author)) < habits.follow_after_profile
    later = scenes.where(also)
    later.at = later.at + _reading_ms(world, len(later.at), rng)
    return join([liked, _event(later, Verb.FOLLOW, Surface.PROFILE, account=author[also])], EVENT)


def _suggestions(world: Population, scenes: Scenes, rng: np.random.Generator, mean: float) -> Rows:
    """Follow suggested accounts one after another."""
    habits = world.habits
    count = np.minimum(rng.geometric(1.0 / mean, len(scenes.at)), 40)
    source = np.repeat(np.arange(len(scenes.at)), count)
    first = np.cumsum(count) - count
    pause = gaps_s(rng, len(source), habits.gap_form, 0.35 * habits.gap_median_s, habits.gap_spread)
    pause[first] = 0.0
    run = np.cumsum(pause)
    at = scenes.at[source] + ((run - run[first][source]) * 1000.0).astype(np.int64)
    taken = Scenes(at, scenes.actor[source], scenes.visit[source], scenes.goal[source], source)
    own = world.accounts.community[taken.actor].astype(np.int64)
    target = world.crowd.by_fame.draw_mixed(rng, own, habits.homophily)
    if habits.shown:
        told = np.flatnonzero((taken.goal == Goal.JOIN) & (rng.random(len(target)) < habits.shown_share))
        target[told] = world.shown(rng, len(told))
    draw = rng.random(len(target))
    surface = np.where(draw < 0.65, int(Surface.FEED), np.where(draw < 0.9, int(Surface.PROFILE), int(Surface.SEARCH)))
    surface = np.where(draw > 1.0 - habits.external, int(Surface.EXTERNAL), surface)
    return _event(taken, Verb.FOLLOW, surface, account=target)
