"""From a package to a running Triton: `repository` builds what it serves, `install` fetches it, `server` runs it."""
