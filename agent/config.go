// Slow path: what a user may ask of a weir process, as values that are already checked.

package agent

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// Config is the whole configuration of one weir process. A YAML file and the
// command line fill the same struct (config_schema.go holds the one table that
// both are read by), and every Config that LoadConfig or Flags.Config returns has
// been completed and checked.
type Config struct {
	RunDir   string // where NAME.mgmt and NAME.ctl live; DefaultRunDir when the user named none
	Log      LogConfig
	PollCPUs []int          // processors that are given to polling ports, in order; none: ports are waited for
	Bridges  []BridgeConfig // at least one, names all different
}

// LogConfig says what is logged and how. Format is "text" or "json"; Level and
// the values of Levels are error, warn, info or debug; the keys of Levels are logParts.
type LogConfig struct {
	File   string // lines are appended to it; empty: standard error
	Level  string
	Format string
	Levels map[string]string
}

// FailMode is what a bridge does while no controller answers (section 6.4).
type FailMode string

// The two fail modes, in Open vSwitch's words.
const (
	FailStandalone FailMode = "standalone" // forwards by the table-miss entry of the configuration
	FailSecure     FailMode = "secure"     // starts empty and forwards only what controllers installed
)

// TableMiss chooses the table-miss entry that a standalone bridge begins with.
type TableMiss string

// The three table-miss entries (section 5.4). MissDrop installs no entry at all.
const (
	MissNormal     TableMiss = "normal"
	MissDrop       TableMiss = "drop"
	MissController TableMiss = "controller"
)

// BridgeConfig is one switch.
type BridgeConfig struct {
	Name          string  // also the name of its sockets in the run directory; at most 15 bytes
	DPID          uint64  // 0: made from MAC
	MAC           [6]byte // all zero: made from the machine's identity, the run directory and Name, so the same after each start
	FailMode      FailMode
	TableMiss     TableMiss
	Tables        int // how many flow tables a controller sees, 1 to 254
	MaxFlows      int // entries in each table
	MaxGroups     int // groups of each type
	MaxMeters     int
	MaxPaths      int // flows that one worker remembers the way of
	Protocols     []string
	DatapathDesc  string // dp_desc of the description reply; Name when empty
	Desc          DescConfig
	Controllers   []ControllerConfig
	Listen        []Target // passive targets: ptcp, pssl, punix
	ListenAux     []Target // the same, for auxiliary connections
	TLS           TLSConfig
	Internal      *InternalConfig // nil: the bridge has no LOCAL port on this host
	MACTable      MACTableConfig
	ForwardBPDU   bool               // forward 01:80:c2:00:00:0x under NORMAL
	Fragments     openflow.FragFlags // of IP, at the start; a controller's SET_CONFIG has the last word
	PacketInQueue int                // packet-ins that may wait for one controller; more are dropped and counted
	Buffers       BufferConfig
	Spin          time.Duration // how long the last goroutine that ran dry looks for more before it sleeps; below 0: never
	Ports         []PortConfig
}

// ControllerConfig is one controller that the bridge keeps connected.
type ControllerConfig struct {
	Target          Target        // active: tcp, ssl or unix
	MinBackoff      time.Duration // pause before the first reconnection
	MaxBackoff      time.Duration // the pause doubles up to this
	InactivityProbe time.Duration // silence after which an ECHO_REQUEST is sent; 0: never
	PacketInRate    int           // PACKET_INs a second for each reason; 0: unlimited
	PacketInRates   ReasonRates   // other rates for single reasons
	PacketInBurst   int           // PACKET_INs of a reason that may pass at once when a rate is set
	Auxiliary       int           // auxiliary connections beside the main one (section 6.3.6)
}

// ReasonRates are PACKET_INs a second by reason (openflow.ReasonNoMatch and so on). Zero: as
// PacketInRate says; below zero: unlimited.
type ReasonRates [numReasons]int

// numReasons is the number of reasons that a PACKET_IN of OpenFlow 1.3 can have.
const numReasons = 3

// BufferConfig bounds the frames that are kept while a controller looks at their first bytes.
type BufferConfig struct {
	Number int           // n_buffers; 0: none are kept, PACKET_INs carry whole frames
	Age    time.Duration // after which a frame that nobody asked for is forgotten
}

// DescConfig is what the description reply says (section 7.3.5.1). Controllers choose drivers by it.
// What is empty has weir's own words.
type DescConfig struct {
	Manufacturer string
	Hardware     string
	Software     string
	Serial       string
}

// TLSConfig names the PEM files that ssl: and pssl: targets use. All empty: no TLS.
type TLSConfig struct {
	PrivateKey  string
	Certificate string
	CACert      string // the peer's certificate must be signed by this one
}

// InternalConfig gives the bridge a network device of its own name on the host
// (OpenFlow port LOCAL).
type InternalConfig struct {
	Addresses []netip.Prefix // host address with prefix length
	MTU       int            // 0: the kernel's default
}

// MACTableConfig bounds the learning switch behind output:NORMAL.
type MACTableConfig struct {
	Size int
	Age  time.Duration
}

// PortConfig is one port: ports.Spec says what it is (number, kind, VLANs, flooding), the
// rest how what leaves by it is scheduled. Spec.Number 0 asks the switch to choose a number; in
// a checked Config the name is never empty, and names and numbers differ within a bridge.
type PortConfig struct {
	ports.Spec
	LinkRate uint64        // bit/s that the queues share; 0: the device's speed
	Queues   []QueueConfig // in order of their ids; none: frames leave as they come
}

// Bridge returns the configuration of the bridge called name, or nil.
func (c *Config) Bridge(name string) *BridgeConfig {
	for i := range c.Bridges {
		if c.Bridges[i].Name == name {
			return &c.Bridges[i]
		}
	}
	return nil
}

// Port returns the configuration of the port called name, or nil.
func (b *BridgeConfig) Port(name string) *PortConfig {
	for i := range b.Ports {
		if b.Ports[i].Name == name {
			return &b.Ports[i]
		}
	}
	return nil
}

// dpidText gives the datapath id as controllers print it.
func (b *BridgeConfig) dpidText() string { return fmt.Sprintf("%016x", b.DPID) }
