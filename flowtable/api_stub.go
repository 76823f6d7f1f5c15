// Slow path: signatures still without a body.

package flowtable

import (
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

type Config struct {
	Tables          int
	MaxEntries      int
	MACTableSize    int
	MACAge          time.Duration
	ForwardReserved bool
	NoCache         bool
	CacheSize       int
	HashSeed        uint64
	LoopMoves       int
	LoopHold        time.Duration
}

type Pipeline struct{ drops dropCounters }

func New(Config) *Pipeline { panic("unwritten") }

func (p *Pipeline) FlowMod(now time.Duration, m *openflow.FlowMod) ([]Removed, error) {
	panic("unwritten")
}
func (p *Pipeline) Publish()                           { panic("unwritten") }
func (p *Pipeline) Expire(now time.Duration) []Removed { panic("unwritten") }
func (p *Pipeline) SetPorts(ports []Port)              { panic("unwritten") }

type FlowFilter struct {
	Table              uint8
	OutPort            openflow.PortNo
	OutGroup           uint32
	Cookie, CookieMask uint64
	Match              openflow.Match
}

type Entry struct {
	Table        uint8
	Priority     uint16
	Cookie       uint64
	Match        openflow.Match
	Instructions openflow.Instructions
	Flags        openflow.FlowModFlags
	IdleTimeout  uint16
	HardTimeout  uint16
	Created      time.Duration
}

type Counters struct {
	Packets, Bytes     uint64
	Duration, LastUsed time.Duration
}

func (e *Entry) Counters(now time.Duration) Counters { panic("unwritten") }

type Removed struct {
	Entry  *Entry
	Reason openflow.FlowRemovedReason
	Counters
}

func (p *Pipeline) Flows(f FlowFilter) ([]*Entry, error) { panic("unwritten") }

type Aggregate struct {
	Packets, Bytes uint64
	Flows          int
}

func (p *Pipeline) Aggregate(f FlowFilter) (Aggregate, error) { panic("unwritten") }

type TableStats struct {
	Table            uint8
	Active           int
	Lookups, Matched uint64
}

func (p *Pipeline) TableStats() []TableStats { panic("unwritten") }

type Features struct {
	Match, Wildcards, SetFields  []openflow.FieldID
	Actions                      []openflow.ActionType
	Instructions                 []openflow.InstructionType
	MetadataMatch, MetadataWrite uint64
	MaxEntries                   uint32
	Tables                       int
}

func (p *Pipeline) Features() Features { panic("unwritten") }

type Program struct{}

func (p *Pipeline) CompileActions(a openflow.Actions) (*Program, error) { panic("unwritten") }

type Processor struct{}

func (p *Pipeline) NewProcessor() *Processor                                    { panic("unwritten") }
func (pr *Processor) Process(now time.Duration, frames []*packet.Frame, s Sink) { panic("unwritten") }
func (pr *Processor) PacketOut(now time.Duration, f *packet.Frame, prog *Program, s Sink) {
	panic("unwritten")
}

type Sink interface {
	Output(port uint32, queue uint32, f *packet.Frame)
	PacketIn(in PacketIn)
}

type PacketIn struct {
	Frame  *packet.Frame
	Reason openflow.PacketInReason
	Table  uint8
	Cookie uint64
	MaxLen uint16
}

type MACEntry struct {
	VLAN   uint16
	MAC    [6]byte
	Port   uint32
	Age    time.Duration
	Static bool
}

type MACFilter struct {
	Port   uint32
	VLAN   uint16
	ByVLAN bool
}

type MACStats struct {
	Size, Learned, Moves, Evicted, Expired, Loops uint64
}

func (p *Pipeline) MACs(now time.Duration) []MACEntry                  { panic("unwritten") }
func (p *Pipeline) FlushMACs(f MACFilter) int                          { panic("unwritten") }
func (p *Pipeline) MACStats() MACStats                                 { panic("unwritten") }
func (p *Pipeline) AddMAC(vlan uint16, mac [6]byte, port uint32) error { panic("unwritten") }
func (p *Pipeline) RemoveMAC(vlan uint16, mac [6]byte) bool            { panic("unwritten") }

type LoopEvent struct {
	VLAN  uint16
	MAC   [6]byte
	Home  uint32
	Other uint32
	Moves int
}

func (p *Pipeline) Loops() []LoopEvent { panic("unwritten") }

var _ atomic.Uint64
