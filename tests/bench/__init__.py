"""`make bench`: what one worker does beside what others do, in one run, as ratios."""
