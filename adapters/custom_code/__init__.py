"""Methods with code of their own: how that code is run apart from everything else, checked, and put in place."""
