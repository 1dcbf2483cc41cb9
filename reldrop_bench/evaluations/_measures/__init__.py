"""Numbers from maps, features, predictions and curves: pure functions, each with its formula."""
