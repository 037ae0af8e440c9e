"""What a JWT means (RFC 7519, 8725, 9068): kinds, claims, rules, signing and verifying. No I/O; `now` is an argument."""
