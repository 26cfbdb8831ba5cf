"""What the sub-commands do, one file each; `danqing.cli` only reads the command line."""
