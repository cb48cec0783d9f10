"""Parts of the page of a proof: pictures, words, template."""
