"""How a run is shown: in a terminal, on a page, as a picture."""
