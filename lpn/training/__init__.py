"""Training of networks, with exact resume.

Every random draw is a function of the step (see `lpn.seeds`), so the state of a run is its step, weights and optimiser.
A run that was killed and resumed on the same kind of device ends in the same bits as one that was not; on another kind, in
the same numbers up to rounding.
"""
