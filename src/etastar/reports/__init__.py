"""Tables, plots and the HTML page of an answer. Nothing is computed here."""
