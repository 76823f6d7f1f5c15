package flowtable

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/openflow"
)

// TestCompose: a composed frame has the fields it was asked for, and gopacket finds nothing to complain of.
func TestCompose(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	made := 0
	for range 5000 {
		m := randomMatch(r)
		length := r.IntN(2) * r.IntN(3000)
		f, err := Compose(m, length)
		if err != nil {
			continue
		}
		made++
		if f.Len() < minFrame || f.Len() < length || length > 140 && f.Len() != length {
			t.Errorf("%v of %d bytes became %d", m, length, f.Len())
		}
		for w := range m.All() {
			if hi, lo := f.Key.Get(keyField(w.ID)); openflow.ValueOf128(hi, lo) != w.Value.And(w.Mask) {
				t.Errorf("%v: %v is %x", m, w.ID, lo)
			}
		}
		checkLayers(t, f.Bytes())
	}
	if made < 2000 {
		t.Errorf("only %d of 5000 matches became frames", made)
	}
}

// checkLayers serialises a frame's layers again with computed lengths and checksums: nothing may change.
func checkLayers(t *testing.T, b []byte) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	ip, ok := p.NetworkLayer().(*layers.IPv4)
	if !ok || ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0 {
		return
	}
	list := []gopacket.SerializableLayer{ip}
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		_ = l.SetNetworkLayerForChecksum(ip)
		list = append(list, l, gopacket.Payload(l.Payload))
	case *layers.UDP:
		_ = l.SetNetworkLayerForChecksum(ip)
		list = append(list, l, gopacket.Payload(l.Payload))
	default:
		list = append(list, gopacket.Payload(ip.Payload))
	}
	was := append(append([]byte(nil), ip.Contents...), ip.Payload...)
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	if string(buf.Bytes()) != string(was) {
		t.Errorf("gopacket makes\n%x of\n%x", buf.Bytes(), was)
	}
}

func TestComposeMore(t *testing.T) {
	exact := openflow.Exact
	six := func(fields ...openflow.Field) openflow.Match {
		return openflow.NewMatch(append([]openflow.Field{exact(openflow.EthType, 0x86dd), exact(openflow.IPProto, 58)}, fields...)...)
	}
	for _, c := range []struct {
		m    openflow.Match
		want string // in the error; empty: none
	}{
		{openflow.NewMatch(), ""},
		{six(exact(openflow.ICMPv6Type, 135), openflow.Exact128(openflow.NDTarget, 1, 2), exact(openflow.NDSLL, 0x020000000001)), ""},
		{six(exact(openflow.ICMPv6Type, 128), exact(openflow.IPTTL, 3), exact(openflow.IPDSCP, 46)), ""},
		{openflow.NewMatch(exact(openflow.EthType, 0x88e7), exact(openflow.PBBISID, 77)), ""},
		{openflow.NewMatch(exact(openflow.EthType, 0x800), exact(openflow.IPProto, 132), exact(openflow.SCTPDst, 9)), ""},
		{openflow.NewMatch(exact(openflow.Metadata, 7)), "metadata"},
		{openflow.NewMatch(exact(openflow.TunnelID, 7)), "tunnel_id"},
		{openflow.NewMatch(exact(openflow.InPort, 1), exact(openflow.InPhyPort, 2)), "in_phy_port"},
		{openflow.NewMatch(exact(openflow.EthType, 0x800), exact(openflow.NwFrag, 3), exact(openflow.IPProto, 6), exact(openflow.TCPDst, 80)), "tcp_dst"},
	} {
		f, err := Compose(c.m, 0)
		switch {
		case c.want != "":
			if err == nil || !strings.HasPrefix(err.Error(), c.want+": ") {
				t.Errorf("%v: %v", c.m, err)
			}
		case err != nil:
			t.Errorf("%v: %v", c.m, err)
		default:
			for w := range c.m.All() {
				if got, ok := FieldsOf(f).Get(w.ID); !ok || got.Value != w.Value {
					t.Errorf("%v: the frame has %v", c.m, FieldsOf(f))
				}
			}
		}
	}
}
