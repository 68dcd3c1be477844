"""Extends the guard to the Python processes that a test starts."""

import loopback_only

loopback_only.install()
