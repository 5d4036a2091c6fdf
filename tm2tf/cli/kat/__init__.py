"""`make` and `run` of `tm2tf kat`, one file each, imported when called."""
