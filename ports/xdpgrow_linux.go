package ports

import "time"

// An xdp port begins with a short ring, for its memory is pinned. One that loses frames for want of room and then runs
// dry had a burst to put aside, of which a longer ring would have held more; one that loses many times what any ring
// holds is too slow, and a longer one would only add to the time that frames take. The kernel can make neither its ring nor its memory longer, and has
// no place for a second socket on a queue. So new sockets take the place of the old:
//
//  1. New sockets are made, with their memory, which takes longest.
//  2. The program stops to give frames to the old ones: it drops them now, and counts them. Readers go on.
//  3. The old sockets are closed, the new ones bound to the queues and given to the program: some 40 ms, and seconds where
//     frames are not copied. Nobody waits meanwhile: readers find nothing, and what is written is lost and counted. What was
//     still to be sent moves over, what was still to be read is lost and counted, too.
//
// That happens once or twice in a port's life, and not before a short ring has lost as many frames as the exchange will: a
// sender that keeps the port busy, and fills the ring once in a while because the processor was away, would lose more by
// the cure. It never shrinks: what comes in bursts will do so again.

// press says that a queue that had been full is dry. A reader calls it, and is not held up.
func (p *afxdp) press() {
	select {
	case p.pressed <- struct{}{}:
	default:
	}
}

// took spares those who send the look for a sleeper while there are many frames, see lease.took.
func (in *xdpInlet) took(n int) {
	if _, err := in.lease.hold(); err == nil {
		in.lease.took(n)
		in.lease.release()
	}
}

// tend adds what the sockets lost to the counters, once a second, for the kernel counts it and tells nobody; and it makes
// room when that helps.
func (p *afxdp) tend() {
	defer p.ended.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.leaving:
			return
		case now := <-tick.C:
			p.counting.Lock()
			p.pace.mark(now, p.arrived())
			p.counting.Unlock()
			p.use.RLock()
			if p.lines != nil {
				p.countLine(p.lines)
			}
			p.use.RUnlock()
		case <-p.pressed:
			p.grow()
		}
	}
}

func (p *afxdp) countLine(x *xdpLine) {
	p.counting.Lock()
	defer p.counting.Unlock()
	for _, s := range x.queues {
		s.feed()
		full, noRoom := s.statistics()
		p.short += full
		p.count.DropRx(DropFull, full)
		p.count.DropRx(DropNoRoom, noRoom)
	}
	now := x.hook.misses()
	p.count.DropRx(DropFull, int(now-x.missed))
	x.missed = now
}

// arrived is how many frames the kernel had for the port, as far as they are counted.
func (p *afxdp) arrived() uint64 {
	v := p.count.Snapshot()
	return v.RxPackets + v.RxDropped
}

// pace is how fast frames come: how many of them in the last second, and in the one that is not over yet.
type pace struct {
	at    time.Time // when that began
	count uint64    // of all until then
	last  float64   // frames a second, before that
}

// leastPaced is the shortest time that says something of frames that may come in bursts.
const leastPaced = 100 * time.Millisecond

// mark begins a new second.
func (c *pace) mark(now time.Time, count uint64) {
	c.last, c.at, c.count = c.recent(now, count), now, count
}

func (c *pace) recent(now time.Time, count uint64) float64 {
	return float64(count-c.count) / max(now.Sub(c.at), leastPaced).Seconds()
}

// within is how many may come in so long.
func (c *pace) within(d time.Duration, now time.Time, count uint64) int {
	return int(max(c.last, c.recent(now, count)) * d.Seconds())
}

// xdpExchange is how long no frames can be received while sockets are exchanged.
const xdpExchange = 40 * time.Millisecond

// grow makes room for more frames if that would have saved more than it costs, see above.
func (p *afxdp) grow() {
	p.mu.Lock()
	x := p.lines
	if p.device.closed || x == nil {
		p.mu.Unlock()
		return
	}
	p.countLine(x)
	lost, n := p.takeShort(xdpExchange), len(x.queues)
	if lost == 0 || lost > burstRings*p.most || p.room >= p.most {
		p.mu.Unlock()
		return
	}
	room := xdpRoomFor(max(p.room, n*xdpRxFor(p.room, n)), lost, p.most)
	if xdpRxFor(room, n) == xdpRxFor(p.room, n) { // so many queues have all that they may have
		p.mu.Unlock()
		return
	}
	err := p.enlarge(x, room)
	changed := err == nil && p.publish()
	p.mu.Unlock()
	if err != nil {
		_ = p.relink(0) // begins anew
	} else if changed {
		p.opt.changed()
	}
}

// takeShort is what was lost for want of room since the last time, or 0 while that is less than what comes in so long.
func (p *afxdp) takeShort(d time.Duration) int {
	p.counting.Lock()
	defer p.counting.Unlock()
	lost := p.short
	if lost < p.pace.within(d, time.Now(), p.arrived()) {
		return 0
	}
	p.short = 0
	return lost
}

// burstRings: what lost more than so many of the longest rings was no burst.
const burstRings = 4

// xdpRoomFor is eight times what there is, or what would have held the frames that were lost as well: each exchange loses some, too.
func xdpRoomFor(room, lost, most int) int {
	need := room + lost
	for room *= 8; room < need; room *= 2 {
	}
	return min(room, most)
}

// enlarge exchanges a line's sockets for such with more room. Where there is no memory for them, the port goes on with
// what it has. With an error it has no line any more. mu is held.
func (p *afxdp) enlarge(x *xdpLine, room int) error {
	var queues []*xsk
	err := p.links.within(func() (err error) {
		queues, err = x.newQueues(len(x.queues), room)
		return err
	})
	if err != nil {
		p.most = p.room
		return nil
	}
	x.hook.divert()
	p.forget() // it has the old ones, too
	if err = p.exchange(x, queues); err != nil {
		p.forget()
		p.countLine(x)
		x.close()
		p.most = p.room
		return err
	}
	p.room = room
	p.tell(p.link, x)
	return nil
}

// exchange puts the queues in the place of those that no frame comes to any more. The port has no line meanwhile. mu is held.
func (p *afxdp) exchange(x *xdpLine, queues []*xsk) error {
	p.moving.Store(true)
	defer p.moving.Store(false)
	p.use.Lock()
	p.lines = nil
	p.use.Unlock()
	p.countLine(x)
	p.takeShort(0) // what was lost meanwhile is no reason to grow again
	for _, s := range x.queues {
		p.count.DropRx(DropFull, s.rx.ready())
	}
	queues[0].inherit(x.queues[0])
	x.closeQueues(x.queues)
	x.queues = queues
	err := x.bind()
	if err == nil {
		err = p.deal(x)
	}
	if err != nil {
		return err
	}
	p.use.Lock()
	p.lines = x
	p.use.Unlock()
	p.sending.Lock()
	p.due = true
	p.again.Reset(restDelay) // for what moved over
	p.sending.Unlock()
	return nil
}
