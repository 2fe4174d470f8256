// Flags become episodes: one for each flag_id, with its last flag and how it grew. Bounded, the oldest go first.

export const EPISODES_MAX = 400;
const POINTS_MAX = 60;

export class Episodes {
  constructor() {
    this.byId = new Map();
  }

  // Take one flag in and return its episode; a repeat changes nothing.
  add(flag) {
    const id = String(flag.flag_id);
    const known = this.byId.get(id);
    const episode = known ?? { id, points: [], openedAt: flag.emitted_at };
    const point = [flag.detected_at, flag.evidence.observed];
    const last = episode.points[episode.points.length - 1];
    if (!last || point[0] > last[0] || (point[0] === last[0] && point[1] !== last[1])) {
      episode.points.push(point);
      if (episode.points.length > POINTS_MAX) episode.points.splice(1, 1);
    }
    episode.flag = flag;
    this.byId.delete(id);
    this.byId.set(id, episode);
    if (this.byId.size > EPISODES_MAX) this.byId.delete(this.byId.keys().next().value);
    return episode;
  }

  // The newest first, by when they opened: a card keeps its place while it grows.
  list() {
    return [...this.byId.values()].sort((a, b) => b.openedAt - a.openedAt || (a.id < b.id ? -1 : 1));
  }
}

export const isOpen = (episode) => episode.flag.status === "opened" || episode.flag.status === "updated";
