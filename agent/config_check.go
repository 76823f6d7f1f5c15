// Slow path: what the values of a configuration mean together, and what is put where nothing was said.

package agent

import (
	"fmt"
	"net/netip"

	"github.com/weirswitch/weir/ports"
)

// The values of settings that nobody gave.
const (
	defaultMaxFlows      = 1_000_000
	defaultMaxGroups     = 1_000_000
	defaultMaxMeters     = 1 << 18
	defaultMaxPaths      = 1 << 20
	defaultTables        = 254
	defaultMACTableSize  = 8192
	defaultMACTableAge   = 300 * second
	defaultSpin          = 50 * microsecond
	defaultMinBackoff    = 1 * second
	defaultMaxBackoff    = 8 * second
	defaultProbe         = 5 * second
	defaultPacketInBurst = 100
	defaultBufferAge     = 5 * second
)

// finish completes and checks what was read.
func (r *reader) finish(d *draft) (*Config, error) {
	c := &d.Config
	orWord(&c.Log.Level, "info")
	orWord(&c.Log.Format, "text")
	if len(d.bridges) == 0 && len(r.errs) == 0 {
		r.fail("bridges", "there is no bridge: expected at least one, like \"bridges: [{name: br0}]\"")
	}
	seen := newClashes(r)
	for _, b := range d.bridges {
		b.complete()
		r.checkBridge(b, seen)
		c.Bridges = append(c.Bridges, b.BridgeConfig)
	}
	r.checkPatches(d, seen)
	return r.result(c)
}

// complete puts defaults where nothing was said.
func (b *bridgeDraft) complete() {
	orWord((*string)(&b.FailMode), string(FailStandalone))
	orWord((*string)(&b.TableMiss), string(MissNormal))
	orInt(&b.Tables, defaultTables)
	orInt(&b.MaxFlows, defaultMaxFlows)
	orInt(&b.MaxGroups, defaultMaxGroups)
	orInt(&b.MaxMeters, defaultMaxMeters)
	orInt(&b.MaxPaths, defaultMaxPaths)
	orInt(&b.MACTable.Size, defaultMACTableSize)
	orInt(&b.PacketInQueue, defaultPacketInQueue)
	if b.Spin == 0 {
		b.Spin = defaultSpin
	}
	if b.MACTable.Age == 0 {
		b.MACTable.Age = defaultMACTableAge
	}
	if b.Buffers.Age == 0 {
		b.Buffers.Age = defaultBufferAge
	}
	if len(b.Protocols) == 0 {
		b.Protocols = []string{"OpenFlow10", "OpenFlow13"}
	}
	orWord(&b.DatapathDesc, b.Name)
	for _, c := range b.controllers {
		b.Controllers = append(b.Controllers, c.complete(&b.defaults))
	}
}

// complete takes each value from the controller, else the bridge, else the default.
func (c *controllerDraft) complete(bridge *controllerDraft) ControllerConfig {
	return ControllerConfig{
		Target:          c.target,
		MinBackoff:      firstGiven(defaultMinBackoff, c.minBackoff, bridge.minBackoff),
		MaxBackoff:      firstGiven(c.defaultMax(bridge), c.maxBackoff, bridge.maxBackoff),
		InactivityProbe: firstGiven(defaultProbe, c.inactivityProbe, bridge.inactivityProbe),
		PacketInRate:    firstGiven(0, c.packetInRate, bridge.packetInRate),
		PacketInRates:   c.rates(bridge),
		PacketInBurst:   firstGiven(defaultPacketInBurst, c.packetIns, bridge.packetIns),
		Auxiliary:       firstGiven(0, c.auxiliary, bridge.auxiliary),
	}
}

// rates joins the controller's rates by reason with the bridge's. A controller's own packet-in-rate
// comes before the bridge's rates: what is said nearer counts.
func (c *controllerDraft) rates(bridge *controllerDraft) ReasonRates {
	rates := c.packetInRates
	for i, r := range bridge.packetInRates {
		if rates[i] == 0 && c.packetInRate == nil {
			rates[i] = r
		}
	}
	return rates
}

// defaultMax keeps a longer min-backoff alone from clashing with the default of max-backoff.
func (c *controllerDraft) defaultMax(bridge *controllerDraft) duration {
	return max(defaultMaxBackoff, firstGiven(0, c.minBackoff, bridge.minBackoff))
}

func firstGiven[T any](otherwise T, given ...*T) T {
	for _, g := range given {
		if g != nil {
			return *g
		}
	}
	return otherwise
}

func orWord(dst *string, word string) {
	if *dst == "" {
		*dst = word
	}
}

func orInt(dst *int, n int) {
	if *dst == 0 {
		*dst = n
	}
}

// clashes finds what may be there only once in a process.
type clashes struct {
	r    *reader
	seen map[string]string // what, with its sort -> path

	listeners []listenerAt // all so far
}

func newClashes(r *reader) *clashes { return &clashes{r: r, seen: map[string]string{}} }

// once reports the second use of a thing; what is empty is not asked about.
func (c *clashes) once(sort, what, path, problem string) {
	if what == "" {
		return
	}
	key := sort + " " + what
	if first, again := c.seen[key]; again {
		c.r.fail(path, fmt.Sprintf(problem, what, c.r.lineOf(first)))
		return
	}
	c.seen[key] = path
}

// listener reports a socket on all addresses beside one on a single address of the same port: the
// system gives the port to one of them. Two equal addresses are once's business.
func (c *clashes) listener(t Target, path string) {
	for _, o := range c.listeners {
		if t.samePort(o.target) && t.Host != o.target.Host && (t.anyAddress() || o.target.anyAddress()) {
			c.r.fail(path, fmt.Sprintf("%s and %s in %s exclude each other, for one of them takes port %d on all addresses: keep one, or choose another port",
				t, o.target, c.r.lineOf(o.path), t.Port))
			break
		}
	}
	c.listeners = append(c.listeners, listenerAt{t, path})
}

// listenerAt is a listener and where it was configured.
type listenerAt struct {
	target Target
	path   string
}

// checkBridge judges one completed bridge.
func (r *reader) checkBridge(b *bridgeDraft, seen *clashes) {
	seen.once("bridge", b.Name, b.at+".name", "the name %s is taken by the bridge in %s: choose another")
	if b.DPID != 0 {
		seen.once("dpid", b.dpidText(), b.at+".dpid", "the datapath id %s is that of the bridge in %s: controllers would mix them up, choose another")
	}
	for i, t := range b.Listen {
		r.checkListener(b, t, b.listenPaths[i], seen)
	}
	for i, t := range b.ListenAux {
		r.checkListener(b, t, b.auxPaths[i], seen)
	}
	targets := newClashes(r)
	for i, c := range b.Controllers {
		at := b.controllers[i].at
		targets.once("target", c.Target.String(), at, "%s is already called, see %s: keep one")
		if c.MinBackoff > c.MaxBackoff {
			r.fail(at, fmt.Sprintf("min-backoff %s is longer than max-backoff %s: make it at most that", c.MinBackoff, c.MaxBackoff))
		}
		if c.Target.TLS() {
			r.checkTLS(b, at)
		}
	}
	if (b.TLS.PrivateKey == "") != (b.TLS.Certificate == "") {
		given := ".tls.private-key"
		if b.TLS.PrivateKey == "" {
			given = ".tls.certificate"
		}
		r.fail(b.at+given, "private-key and certificate belong together: give both")
	}
	r.takeInternal(b)
	r.checkPorts(b, seen)
}

// checkListener refuses two listeners on one address, also across bridges.
func (r *reader) checkListener(b *bridgeDraft, t Target, at string, seen *clashes) {
	if t.TLS() {
		r.checkTLS(b, at)
	}
	if t.Network() == "unix" || t.Port != 0 { // ptcp:0 gets a port of its own
		seen.once("listen", t.Address(), at, "%s is already listened on, see %s: choose another port or path")
	}
	seen.listener(t, at)
	if a, err := netip.ParseAddr(t.Host); err == nil && a.IsMulticast() {
		r.fail(at, fmt.Sprintf("%s is a multicast address: a listener needs one of this host", t.Host))
	}
}

func (r *reader) checkTLS(b *bridgeDraft, at string) {
	if b.TLS.PrivateKey == "" || b.TLS.Certificate == "" || b.TLS.CACert == "" {
		r.fail(at, "an encrypted connection needs tls with private-key, certificate and ca-cert: add them to the bridge")
	}
}

// takeInternal makes a port of kind internal the bridge's own device, for that is
// what the kind means: there is one, it has the bridge's name and number LOCAL.
func (r *reader) takeInternal(b *bridgeDraft) {
	keep, paths := b.Ports[:0:0], b.portPaths[:0:0]
	for i, p := range b.Ports {
		at := b.portPaths[i]
		switch {
		case p.Kind != ports.KindInternal:
			keep, paths = append(keep, p), append(paths, at)
		case b.Internal != nil:
			r.fail(at, "the bridge has its internal device already: keep one of the two")
		case p.Target != b.Name || p.Name != b.Name:
			r.fail(at, fmt.Sprintf("an internal device has its bridge's name: write internal:%s", b.Name))
		case len(p.Queues) > 0:
			r.fail(at, "an internal device has no queues: leave them out")
		case p.Number != 0:
			r.fail(at, fmt.Sprintf("an internal device has the number LOCAL: leave %d: out", p.Number))
		default:
			b.Internal = &InternalConfig{MTU: p.MTU}
			r.takeInternalMAC(b, p.Arg("mac"), at)
			for _, a := range p.ArgAll("address") {
				if err := b.addAddress(a); err != nil {
					r.fail(at, err.Error())
				}
			}
		}
	}
	b.Ports, b.portPaths = keep, paths
}

// takeInternalMAC: the device has the bridge's address, so naming one names both.
func (r *reader) takeInternalMAC(b *bridgeDraft, text, at string) {
	var mac [6]byte
	switch {
	case text == "":
	case setMAC(&mac, text) != nil:
		r.fail(at, setMAC(&mac, text).Error())
	case b.MAC != [6]byte{} && b.MAC != mac:
		r.fail(at, "an internal device has its bridge's address: leave mac out in one of the two places")
	default:
		b.MAC = mac
	}
}

// checkPorts judges the ports of a bridge among themselves and against those of others.
func (r *reader) checkPorts(b *bridgeDraft, seen *clashes) {
	own := newClashes(r)
	if b.Internal != nil {
		own.seen["name "+b.Name] = b.at + ".internal"
		seen.once("device", b.Name, b.at+".internal", "the device %s is used by %s: it can have one owner")
	}
	for i, p := range b.Ports {
		at := b.portPaths[i]
		if p.Number != 0 {
			own.once("number", fmt.Sprint(p.Number), at, "the port number %s is that of the port in %s: choose another")
		}
		own.once("name", p.Name, at, "the port name %s is that of the port in %s: choose another with name=")
		switch {
		case p.Kind.Interface():
			seen.once("device", p.Target, at, "the device %s is used by the port in %s: it can be in one place only")
		case p.Kind == ports.KindPatch:
			seen.once("patch", p.Target, at, "the patch %s exists already, see %s: choose another name")
		}
	}
}

// checkPatches sees to it that the two ends of a patch name each other.
func (r *reader) checkPatches(d *draft, seen *clashes) {
	peers := map[string]string{}
	for _, b := range d.bridges {
		for _, p := range b.Ports {
			if p.Kind == ports.KindPatch {
				peers[p.Target] = p.Arg("peer")
			}
		}
	}
	for _, b := range d.bridges {
		for i, p := range b.Ports {
			if p.Kind != ports.KindPatch {
				continue
			}
			peer := p.Arg("peer")
			back, ok := peers[peer]
			switch {
			case !ok:
				r.fail(b.portPaths[i], fmt.Sprintf("there is no patch port %s: add patch:%s,peer=%s to a bridge", peer, peer, p.Target))
			case back != p.Target:
				r.fail(b.portPaths[i], fmt.Sprintf("the patch %s names %s as its peer, not %s: two ends name each other", peer, back, p.Target))
			}
		}
	}
}
