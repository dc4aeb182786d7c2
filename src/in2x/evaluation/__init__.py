"""What a translation is worth: corpus metrics with signatures, intervals and paired comparisons."""
