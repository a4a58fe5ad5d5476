-- Returns a new generation, for an instance whose creator signs it before the instance is written.
-- KEYS: 1 generation counter
-- Returns {generation, now}.
return { nextGeneration(KEYS[1]), nowMs() }
