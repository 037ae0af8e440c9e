"""Bearer-token doors for frameworks, one small file each; what they share is in `bearer`."""
