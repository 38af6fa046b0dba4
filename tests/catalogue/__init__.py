"""Lists that tests are held against: guards, threats."""
