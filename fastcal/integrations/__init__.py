"""Other libraries' own objects made with fastcal: one file a library, which that file alone imports."""
