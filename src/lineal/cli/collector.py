"""How often Python looks for garbage. What imports make stays, and looking through it again and again takes a
tenth of a run that finds everything: so this is imported first."""

import gc

gc.set_threshold(100_000, 10, 10)
