"""What the measures of uncertainty say far from the data, beside what two papers prove and find of them.

``python -m bench.studies`` trains the models, checks the lemmas of Ulmer and Cina 2021 ("Know Your Limits"), repeats a
diagnosis of Pearce, Brintrup and Zhu 2021, and writes data, figures and a text; it ends with 1 if a number disagrees
with the theorem where its assumptions hold.
"""
