// Package lab builds small networks inside one process: hosts in network namespaces of their own, joined by veth pairs
// to a namespace where a switch runs. It needs nothing but the kernel: links and addresses are made through netlink,
// pings and TCP streams come from Go.
//
//	process
//	  |-- thread "switch"  netns: eth1   eth2   eth3      weir (a child process) opens these
//	  |                            |      |      |        veth pairs
//	  |-- thread "h1"      netns: eth0    |      |        10.0.0.1/24  fd00::1/64
//	  |-- thread "h2"      netns:        eth0    |        10.0.0.2/24  fd00::2/64
//	  `-- thread "h3"      netns:               eth0      10.0.0.3/24  fd00::3/64
//
// A namespace has no name and no file. It lives as long as the thread that entered it, the sockets made in it and the
// processes started in it, and those die with the thread (PR_SET_PDEATHSIG). So nothing is left behind when the
// program ends, whether by return, panic, signal or kill -9. Close only does it sooner and in order.
//
// An ordinary user may run a lab where user namespaces are allowed: Enter, called first in main or TestMain, starts the
// program again as root of a fresh one.
//
// # Concurrency
//
// A Space is one goroutine locked to one thread; Do hands it a function and waits. Sockets made there belong to the
// namespace for good, so data moves on ordinary goroutines. Lab, Space, Host and Proc may be used from several
// goroutines; Close is called once.
package lab
