"""Pure functions of arrays: tax, deception score, nulls; intervals.  numpy and scipy only."""
