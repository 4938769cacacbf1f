"""The strategies: how a pool's work is divided among workers that pull.

`strategy` says what one is, `figures` what it sees, `choice` names them all; each lies in a file of its own,
with its formula and where that comes from.
"""
