"""An independent reader, random damage to array files, and a judge of what gridnorm makes of them."""
