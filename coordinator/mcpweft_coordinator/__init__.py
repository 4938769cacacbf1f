"""The coordinator: leadership, rescue of the dead, scheduled duties, the launcher.

The data plane needs none of this: workers pull and settle by themselves, and stand in for a coordinator
that is gone. What a coordinator adds is what somebody must do *for* others: take back the work of the
dead, end requests whose time is over, keep the wanted number of workers running.

How one of many leads
---------------------

Any number of coordinators may run; exactly one acts. There is no election between them, no vote and no
list of members. There is one lease in the store (`lead`), and the store's clock:

1. Each asks for the lease when it starts and every 250 ms from then on. The store gives it to the first
   who asks while nobody holds it, for 750 ms, and gives the holder 750 ms more each time that it asks
   again. The others are told who holds it and for how long still, and ask again just when it would be
   over. So a leader that dies is followed after at most 750 ms and one answer; a leader that stops in
   order gives the lease up, and is followed by whoever asks next.
2. Each new holding has a higher epoch than all before. The new leader first seals: it shows its epoch to
   every pool, each of which keeps the highest that it has seen and refuses what comes with a lower one.
3. It leads while its own clock says that the lease surely lasts: from the moment at which it sent the
   last renewal that succeeded, for 750 ms less a tenth. If it cannot renew, it stops before the store
   lets another begin.

The lease alone would not do. A leader can be stopped (a paused virtual machine, a long page fault)
between the look at its clock and its next move, and wake up as one of two. The epoch is what makes that
harmless: its move arrives with a number that the pools refuse, it is told STALE, and it follows. The
margin of 3. only makes that rare.

Nothing depends on the leader's memory. Whatever it decides, it decides from what the store says at that
moment, and each of its moves checks again and may be repeated; so a takeover in the middle of anything is
just the next round of somebody else.

With no coordinator at all, a worker that has seen nobody renew the lease for 3 s takes it for the time of
one round, and gives it back (`mcpweft_schemas.sweeper`, standby).

The files
---------

`coordinator` puts one together, `entry` and `command` start it. `registrar` declares pools. `launcher`
keeps a `crew` of `child` processes for each server, by what its `lookout` sees, and shows it as a `view`.
How many workers a server should have is looked at and published by `scaler` (`survey`, `scaling`, `wanted`),
and heard by each launcher's `rollcall`. `duties` and `admin` are all that knows arq. `endpoint` is the port.
Managing a fleet that runs: `admin` gives commands, `clerk` has them carried out (`orders`, `secretary` with
`charter`, `commissioner`), `roster` knows which servers there are, `steward` keeps each coordinator's
configuration as the fleet has set it.
Leading itself is in the ground (`sweeper`, `tenure`, `rounds`, `rescue`), because workers stand in.
"""
