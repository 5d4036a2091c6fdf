"""The experiments of `tm2tf learn`, one file each, imported when called."""
