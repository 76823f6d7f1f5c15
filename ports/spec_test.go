package ports

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"eth1":                 {Name: "eth1", Kind: KindAFPacket, Target: "eth1"},
		"1:eth1":               {Number: 1, Name: "eth1", Kind: KindAFPacket, Target: "eth1"},
		"65279:afpacket:eth.7": {Number: 65279, Name: "eth.7", Kind: KindAFPacket, Target: "eth.7"},
		"eth1,readers=64":      {Name: "eth1", Kind: KindAFPacket, Target: "eth1", Args: []Arg{{"readers", "64"}}},
		"4:xdp:eth1,mode=copy": {Number: 4, Name: "eth1", Kind: KindXDP, Target: "eth1", Args: []Arg{{"mode", "copy"}}},
		"2:tap:vm1,mtu=9000":   {Number: 2, Name: "vm1", Kind: KindTAP, Target: "vm1", MTU: 9000},
		"internal:br0,address=10.0.0.254/24,address=fd00::1/64": {Name: "br0", Kind: KindInternal, Target: "br0",
			Args: []Arg{{"address", "10.0.0.254/24"}, {"address", "fd00::1/64"}}},
		"patch:a,peer=b,name=to-b": {Name: "to-b", Kind: KindPatch, Target: "a", Args: []Arg{{"peer", "b"}}},
		"pipe:p":                   {Name: "p", Kind: KindPipe, Target: "p"},
		"eth1,flood=no,offload=no": {Name: "eth1", Kind: KindAFPacket, Target: "eth1", NoFlood: true, NoOffload: true},
		"wire:udp,local=[::1]:7000,remote=h.example:7001": {Name: "wire-7000", Kind: KindWire, Target: "udp",
			Args: []Arg{{"local", "[::1]:7000"}, {"remote", "h.example:7001"}}},
		"wire:tcp,connect=127.0.0.1:7000": {Name: "wire-7000", Kind: KindWire, Target: "tcp", Args: []Arg{{"connect", "127.0.0.1:7000"}}},
		"wire:unix,listen=/run/weir/vm1.sock": {Name: "vm1", Kind: KindWire, Target: "unix",
			Args: []Arg{{"listen", "/run/weir/vm1.sock"}}},
		"3:pcap:/tmp/some-very-long-name.pcapng,rate=fast,loop=forever": {Number: 3, Name: "some-very-long-", Kind: KindPcap,
			Target: "/tmp/some-very-long-name.pcapng", Args: []Arg{{"rate", "fast"}, {"loop", "forever"}}},
		"pcap:out=rec.pcapng": {Name: "rec", Kind: KindPcap, Args: []Arg{{"out", "rec.pcapng"}}},
		"pcap:eth0":           {Name: "eth0", Kind: KindPcap, Target: "eth0"},
		"eth1,tag=10":         {Name: "eth1", Kind: KindAFPacket, Target: "eth1", VLAN: VLAN{Mode: VLANAccess, Tag: 10, tagged: true}},
		"eth1,trunks=5;1;2;10-12;11": {Name: "eth1", Kind: KindAFPacket, Target: "eth1",
			VLAN: VLAN{Trunks: []uint16{1, 2, 5, 10, 11, 12}}},
		"eth1,vlan_mode=native-untagged,tag=7,trunks=7;8": {Name: "eth1", Kind: KindAFPacket, Target: "eth1",
			VLAN: VLAN{Mode: VLANNativeUntagged, Tag: 7, Trunks: []uint16{7, 8}, tagged: true, moded: true}},
		"eth1,tag=0,vlan_mode=access": {Name: "eth1", Kind: KindAFPacket, Target: "eth1",
			VLAN: VLAN{Mode: VLANAccess, tagged: true, moded: true}},
	} {
		got, err := ParseSpec(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got  %+v\n want %+v", text, got, want)
		}
		again, err := ParseSpec(got.String())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: written as %s, read as %+v, %v", text, got.String(), again, err)
		}
	}
}

// TestParseSpecErrors: every message names the wrong word and the right form.
func TestParseSpecErrors(t *testing.T) {
	for text, says := range map[string][]string{
		"":                                  {"an interface name is missing", "eth1"},
		"0:eth1":                            {`"0"`, "1 to 65279"},
		"65280:eth1":                        {`"65280"`, "1 to 65279"},
		"99999999999:eth1":                  {"1 to 65279"},
		"1:":                                {"an interface name is missing"},
		"xdp:eth1,mode=fast":                {`"mode=fast"`, "native", "copy", "generic"},
		"vxlan:x":                           {`"vxlan"`, "afpacket, xdp, tap, internal, patch, pipe, wire, pcap"},
		"1:2:eth1":                          {`"2"`, "no such kind"},
		"an-interface-name-of-this-length":  {"1 to 15 characters"},
		"eth/1":                             {"slashes"},
		"..":                                {"interface name"},
		"eth1,mtu":                          {`"mtu"`, "key=value", "mtu"},
		"eth1,mtu=1":                        {`"mtu=1"`, "68 to 65535"},
		"eth1,mtu=99999":                    {"68 to 65535"},
		"eth1,speed=7":                      {`"speed"`, "no such option", "afpacket takes ring, readers, name, mtu, tag, trunks, vlan-mode, flood, offload, link-rate, queue"},
		"eth1,peer=x":                       {`"peer"`, "belongs to patch", "patch:to-br1,peer=to-br0"},
		"eth1,name=":                        {"1 to 15 characters"},
		"eth1,name=a b":                     {"without blanks"},
		"eth1,name=averyveryverylongname":   {"1 to 15 characters"},
		"eth1,flood=maybe":                  {`"flood=maybe"`, "yes or no"},
		"eth1,offload=1":                    {"yes or no"},
		"eth1,tag=4096":                     {"0 to 4095"},
		"eth1,tag=x":                        {"0 to 4095"},
		"eth1,trunks=1,2":                   {`"2"`, "key=value"},
		"eth1,trunks=9-3":                   {"1;2;10-20"},
		"eth1,trunks=":                      {"1;2;10-20"},
		"eth1,trunks=1;5000":                {"0 to 4095"},
		"eth1,vlan_mode=hybrid":             {"access, trunk, native-tagged or native-untagged"},
		"eth1,vlan_mode=access":             {"needs the VLAN", "tag=10"},
		"eth1,vlan_mode=trunk,tag=3":        {"leave tag= out"},
		"eth1,tag=3,trunks=1":               {"an access port carries one VLAN"},
		"internal:br0,address=10.0.0.1":     {`"address=10.0.0.1"`, "10.0.0.254/24"},
		"patch:a":                           {"peer=to-br0"},
		"patch:a,peer=a":                    {"not itself"},
		"patch:a,peer=":                     {"the value is missing"},
		"patch:a,peer=b,peer=c":             {`"peer=c"`, "given twice"},
		"wire:":                             {"a transport: udp, tcp, unix or unixgram is missing"},
		"wire:sctp":                         {`"sctp"`, "udp, tcp, unix or unixgram"},
		"wire:udp,local=127.0.0.1:1":        {"both ends are needed", "remote=127.0.0.1:7001"},
		"wire:udp,listen=127.0.0.1:1":       {"no connection"},
		"wire:tcp":                          {"either listen or connect"},
		"wire:tcp,listen=a:1,connect=b:2":   {"either listen or connect"},
		"wire:tcp,local=a:1,remote=b:2":     {"listens or connects"},
		"wire:tcp,listen=7000":              {`"listen=7000"`, "HOST:PORT"},
		"wire:tcp,listen=::1:7000":          {"[::1]:7000"},
		"wire:tcp,listen=a:0":               {"1 to 65535"},
		"wire:udp,local=a:1,remote=b:70000": {`"remote=b:70000"`, "1 to 65535"},
		"wire:unix,listen=" + long(108):     {"at most 107"},
		"wire:udp,local=a:1,remote=b:2,mtu=65535": {"mtu=65535", "65485"},
		"eth1,ring=31":           {`"ring=31"`, "from 256 to 262144", "no: none"},
		"eth1,ring=yes":          {"from 256 to 262144"},
		"xdp:eth1,ring=no":       {`"ring=no"`, "from 512 to 65536", "2048 first"},
		"xdp:eth1,ring=65537":    {`"ring=65537"`, "from 512 to 65536"},
		"eth1,readers=0":         {`"readers=0"`, "from 1 to 64"},
		"xdp:eth1,readers=65":    {`"readers=65"`, "from 1 to 64"},
		"tap:t,readers=0":        {`"readers=0"`, "from 1 to 64"},
		"pipe:t,readers=2":       {`"readers"`, "belongs to afpacket"},
		"pcap:":                  {"a capture file or an interface is missing"},
		"pcap:a.pcap,rate=quick": {"real", "fast", "1000"},
		"pcap:a.pcap,loop=0":     {"1, 2, ... or forever"},
		"pcap:a.pcap,out=a.pcap": {"at once"},
	} {
		s, err := ParseSpec(text)
		var se *SpecError
		if !errors.As(err, &se) || se.Text != text {
			t.Errorf("%q: %+v, %v", text, s, err)
			continue
		}
		for _, want := range says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q does not say %q", text, err, want)
			}
		}
	}
}

func long(n int) string { return "/" + strings.Repeat("x", n-1) }

// TestSpecSet: a configuration file gives the same options as keys.
func TestSpecSet(t *testing.T) {
	s := Spec{Kind: KindWire, Target: "tcp"}
	for _, kv := range [][2]string{{"listen", "127.0.0.1:9"}, {"tag", "5"}, {"name", "w"}} {
		if err := s.Set(kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(); err != nil || s.VLAN.Tag != 5 || s.Name != "w" || s.Arg("listen") != "127.0.0.1:9" {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := s.Set("loop", "3"); err == nil || !strings.Contains(err.Error(), "belongs to pcap") {
		t.Fatalf("got %v", err)
	}
	s.Kind = "x"
	if s.Set("name", "y") == nil || s.Check() == nil {
		t.Fatal("an unknown kind passed")
	}
	if _, err := Open(s, Options{}); err == nil {
		t.Fatal("an unknown kind was opened")
	}
}

func TestIsCapture(t *testing.T) {
	exists := func(s string) bool { return s == "there" }
	for target, want := range map[string]bool{
		"": true, "a.pcap": true, "A.PCAPNG": true, "x.cap": true, "dir/eth0": true, "there": true,
		"eth0": false, "eth1.100": false,
	} {
		if got := isCapture(filepath.FromSlash(target), exists); got != want {
			t.Errorf("%q: %v", target, got)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"1:eth1,tag=3", "wire:tcp,listen=a:1", "pcap:out=x", "patch:a,peer=b,trunks=1-4000", "internal:b,address=1.2.3.4/8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if err != nil {
			return
		}
		again, err := ParseSpec(s.String())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%q: written as %q, read as %+v, %v; was %+v", text, s.String(), again, err, s)
		}
	})
}

// TestDropReasonsHaveNames: the names go into statistics that people parse.
func TestDropReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range dropReasons {
		if strings.HasPrefix(r.String(), "reason-") || seen[r.String()] {
			t.Errorf("reason %d is called %s", uint8(r), r)
		}
		seen[r.String()] = true
	}
	if DropReason(200).String() != "reason-200" {
		t.Error("a reason from the future has no name")
	}
}

func TestSpecAbsolute(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"eth1", "eth1,name=eth1"},
		{"pcap:eth1", "pcap:eth1,name=eth1"},
		{"pcap:in.pcap,out=../o.pcap,rate=fast", "pcap:/a/b/in.pcap,out=/a/o.pcap,rate=fast,name=in"},
		{"pcap:/x/in.pcap", "pcap:/x/in.pcap,name=in"},
		{"wire:unix,listen=s.sock", "wire:unix,listen=/a/b/s.sock,name=s"},
		{"wire:unixgram,local=l,remote=@r", "wire:unixgram,local=/a/b/l,remote=@r,name=l"},
		{"wire:tcp,listen=127.0.0.1:7000", "wire:tcp,listen=127.0.0.1:7000,name=wire-7000"},
	} {
		s, err := ParseSpec(c.in)
		if err != nil {
			t.Fatal(err)
		}
		was := s.String()
		abs := s.Absolute("/a/b")
		if abs.String() != c.want {
			t.Errorf("%s: %s, want %s", c.in, abs.String(), c.want)
		}
		if s.String() != was {
			t.Errorf("%s: the original became %s", c.in, s.String())
		}
	}
}
