"""What runs look like afterwards: curves, predictions row by row, runs side by side.

``curves`` reads the journal of a run, ``predictions`` its answers on the validation split, ``compare`` what
differs between runs, ``flips`` which rows they answer differently. Everything is read from what a run left behind;
nothing is computed with a model, and nothing here knows HTTP, a terminal or who may ask.
"""
