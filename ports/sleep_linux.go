package ports

// How readers of devices sleep, beside Wait: packet sockets and AF_XDP sockets alike.

// Nap is Sleep for some milliseconds at most, and is woken sooner. It reports whether there may be something to read.
func (in *intake) Nap() bool { return in.lease.nap() }

// Stay says that its reader will look for frames by Ready and not sleep for long: those who send them are spared
// looking for it.
func (in *intake) Stay() { in.lease.stay() }

// Hush lets its reader sleep on when frames come, for who looks for them himself until Listen.
func (in *intake) Hush() { in.lease.hush() }

// Listen undoes Hush.
func (in *intake) Listen() { in.lease.listen() }

// Nap is Sleep for some milliseconds at most, and is woken sooner. It reports whether there may be something to read.
func (in *xdpInlet) Nap() bool { return in.lease.nap() }

// Stay says that its reader will look for frames by Ready and not sleep for long, see intake's.
func (in *xdpInlet) Stay() { in.lease.stay() }

// Hush lets its reader sleep on when frames come, for who looks for them himself until Listen.
func (in *xdpInlet) Hush() { in.lease.hush() }

// Listen undoes Hush.
func (in *xdpInlet) Listen() { in.lease.listen() }
