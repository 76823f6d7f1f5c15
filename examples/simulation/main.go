// Command simulation is a network in one process and in virtual time: a fat-tree of 20 switches with 16 hosts under a
// controller that finds the links, makes a tree of them and learns. Runs of one seed are equal, event by event.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "decides the links' delays, who talks to whom, and which link fails")
	verbose := flag.Bool("v", false, "print every event")
	flag.Parse()
	log := io.Discard
	if *verbose {
		log = os.Stdout
	}
	if _, err := simulate(*seed, os.Stdout, log); err != nil {
		fmt.Fprintln(os.Stderr, "simulation:", err)
		os.Exit(1)
	}
}

const (
	numHosts = 16
	numPings = 3
)

// fatTree builds the network for k = 4: switches 0 to 3 are the core; then each of four pods has two for aggregation
// and two at the edge, with two hosts each.
func fatTree(n *network, rnd *rand.Rand) error {
	delay := func() time.Duration { return time.Duration(10+rnd.IntN(90)) * time.Microsecond }
	for i := range 20 {
		name := fmt.Sprintf("core%d", i+1)
		if pod, at := (i-4)/4+1, (i-4)%4; i >= 4 {
			name = fmt.Sprintf("%s%d%d", [...]string{"agg", "agg", "edge", "edge"}[at], pod, at%2+1)
		}
		if err := n.addSwitch(name, 4, rnd.Uint64()); err != nil {
			return err
		}
	}
	for pod := range 4 {
		first := 4 + 4*pod
		for i := range 2 {
			agg, edge := first+i, first+2+i
			for j := range 2 {
				n.connect(place{agg, 3 + j}, place{2*i + j, pod + 1}, delay())
				n.connect(place{edge, 3 + j}, place{first + j, i + 1}, delay())
				h := &host{net: n, id: len(n.hosts), sent: map[uint16]time.Duration{}}
				n.hosts = append(n.hosts, h)
				n.connect(place{edge, 1 + j}, place{h.id, 0}, delay())
			}
		}
	}
	return nil
}

// simulate builds the network, lets every host ping another, cuts a link of the tree, and lets them ping again. It
// returns the hash of everything that happened.
func simulate(seed uint64, out, log io.Writer) (sum string, err error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	n := newNetwork(log)
	defer func() {
		if e := n.close(); err == nil {
			err = e
		}
	}()
	if err := fatTree(n, rnd); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "seed %d: %d switches, %d hosts, %d links\n", seed, len(n.switches), len(n.hosts), len(n.wires)/2)
	if err := n.control.begin(); err != nil {
		return "", err
	}
	if err := n.run(); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "%-9v the tree stands\n", n.clock.Now().Round(10*time.Microsecond))
	if err := talk(n, rnd, out); err != nil {
		return "", err
	}
	from := treeLink(n, rnd)
	to := n.wires[from].to
	fmt.Fprintf(out, "%-9v the link from %s to %s fails\n", n.clock.Now().Round(10*time.Microsecond), n.switches[from.node].name, n.switches[to.node].name)
	if err := n.cut(from); err != nil {
		return "", err
	}
	if err := n.run(); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "%-9v another tree stands\n", n.clock.Now().Round(10*time.Microsecond))
	if err := talk(n, rnd, out); err != nil {
		return "", err
	}
	sum = fmt.Sprintf("%x", n.sum.Sum(nil))
	fmt.Fprintf(out, "%d events, log %s\n", n.count, sum[:16])
	return sum, nil
}

// talk has every host ping another one, and fails unless each has all its answers, once.
func talk(n *network, rnd *rand.Rand, out io.Writer) error {
	order := rnd.Perm(numHosts)
	for i, id := range order {
		h, partner := n.hosts[id], order[(i+1)%numHosts]
		h.answered, h.heard = 0, map[string]bool{}
		n.after(time.Duration(rnd.IntN(5000))*time.Microsecond, func() error { h.begin(partner, numPings); return nil })
	}
	if err := n.run(); err != nil {
		return err
	}
	all := 0
	for _, h := range n.hosts {
		all += h.answered
		if h.answered != numPings || h.twice > 0 {
			return fmt.Errorf("h%d has %d answers of %d, and %d frames twice", h.id+1, h.answered, numPings, h.twice)
		}
	}
	fmt.Fprintf(out, "%-9v %d pings of %d hosts answered, none twice\n", n.clock.Now().Round(10*time.Microsecond), all, numHosts)
	return nil
}

// treeLink chooses a link between two switches that the tree uses and that has a detour: an edge switch's way up.
func treeLink(n *network, rnd *rand.Rand) place {
	for {
		p := place{4 + 4*rnd.IntN(4) + 2 + rnd.IntN(2), 3 + rnd.IntN(2)}
		if n.control.tree[p.node][p.port-1] {
			return p
		}
	}
}
