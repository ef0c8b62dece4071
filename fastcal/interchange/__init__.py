"""Arrays of other libraries as NumPy's, by protocols and names of types: no library is imported for it.

``libraries.py`` tells whose an object is, and asks it in that library's own way; ``arrow.py`` reads what speaks the
Arrow C data interface; ``missing.py`` keeps values that are missing apart from NaN.
"""
