"""The pictures of `tm2tf plot`, one file each, imported when called."""
