"""From a trained model to translations: sampling candidates and choosing among them."""
