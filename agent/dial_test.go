package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

func dialTool(t *testing.T, target Target) *oftest.Controller {
	t.Helper()
	c, err := oftest.Dial(target.Network(), target.Address(), oftest.Config{Timeout: inTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func withRealClock(_ *BridgeConfig, e *Env) { e.Clock = NewClock() }

// TestControllerOverTCP: a controller comes, goes and comes back; another one is not disturbed.
func TestControllerOverTCP(t *testing.T) {
	var listeners []*oftest.Listener
	b := newBench(t, 2, withRealClock, func(c *BridgeConfig, _ *Env) {
		for range 2 {
			l, err := oftest.Listen("tcp", "127.0.0.1:0", oftest.Config{Timeout: inTime})
			if err != nil {
				t.Fatal(err)
			}
			listeners = append(listeners, l)
			target, err := ParseTarget("tcp:" + l.Addr())
			if err != nil {
				t.Fatal(err)
			}
			c.Controllers = append(c.Controllers, ControllerConfig{Target: target, MinBackoff: 20 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
		}
	})
	accept := func(i int) *oftest.Controller {
		t.Helper()
		c, err := listeners[i].Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := accept(0), accept(1)
	defer second.Close()
	if first.Features.DatapathID != 1 {
		t.Errorf("features %v", first.Features)
	}
	if err := first.Apply(oftest.AddFlow(0, 5, inPort(1), openflow.ApplyActions(openflow.Output(2)))); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		first.Close()
		first = accept(0)
	}
	defer first.Close()
	if flows, err := second.Flows(openflow.AllFlows()); err != nil || len(flows) != 2 || flows[0].Priority != 5 {
		t.Errorf("flows %v %v", flows, err)
	}
	if st := b.sw.Status(); !st.Connected || len(st.Controllers) != 2 {
		t.Errorf("status %+v", st)
	}
	for _, l := range listeners {
		l.Close()
	}
}

// TestLastControllerGoes: the bridge decides alone again and says what is true; a connection of Serve
// is a controller as any other.
func TestLastControllerGoes(t *testing.T) {
	for _, miss := range []TableMiss{MissNormal, MissDrop} {
		log := new(syncBuffer)
		b := newBench(t, 0, func(c *BridgeConfig, e *Env) {
			c.TableMiss, e.Log = miss, NewLogger(log, LogConfig{Level: "info"})
		})
		first, second := b.connect(), b.connect()
		first.features()
		second.features()
		first.send(deleteAll())
		first.barrier()
		first.nc.Close()
		second.barrier()
		if !b.sw.Status().Connected || len(b.sw.Flows(-1)) != 0 {
			t.Errorf("%s: with a controller left: %+v, flows %v", miss, b.sw.Status(), b.sw.Flows(-1))
		}
		second.nc.Close()
		want := map[TableMiss]string{MissNormal: "the table-miss entry is normal again", MissDrop: "with the entries as they are"}[miss]
		waitFor(t, "the log to say so", func() bool { return strings.Contains(log.String(), want) })
		waitFor(t, "the entry", func() bool { return (len(b.sw.Flows(-1)) == 1) == (miss == MissNormal) })
		if b.sw.Status().Connected || strings.Contains(log.String(), "drop again") {
			t.Errorf("%s: connected %v, log %s", miss, b.sw.Status().Connected, log)
		}
	}
}

// TestControllerComesAsTheLastOneGoes: whatever the order, the one that comes has the last word on
// the table-miss entry.
func TestControllerComesAsTheLastOneGoes(t *testing.T) {
	b := newBench(t, 0)
	for i := range 300 {
		old := b.connect()
		old.features()
		go old.nc.Close()
		p := b.connect()
		p.send(add(0, openflow.NewMatch(), openflow.Output(7)))
		p.barrier()
		waitFor(t, "the old one to leave", func() bool { return len(*b.sw.channels.Load()) == 1 })
		p.barrier()
		if f := b.sw.Flows(-1); len(f) != 1 || f[0].Actions != "output:7" {
			t.Fatalf("round %d: flows %+v", i, f)
		}
		p.nc.Close()
		waitFor(t, "both to leave", func() bool { return !b.sw.Status().Connected && len(*b.sw.channels.Load()) == 0 })
	}
}

// TestManagementSocket: a socket that a killed process left behind is replaced, a living one is not.
func TestManagementSocket(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "br0.mgmt")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write([]byte{4, 0, 0, 8, 0, 0, 0, 1}) // HELLO: somebody lives here
			c.Close()
		}
	}()
	env := Env{RunDir: dir}
	sw, _ := NewSwitch(testConfig(), env)
	if err := sw.Start(); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("a living socket: %v", err)
	}
	ln.Close() // the file stays, as after kill -9
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	sw, _ = NewSwitch(testConfig(), env)
	if err := sw.Start(); err != nil {
		t.Fatalf("a dead socket: %v", err)
	}
	c := dialTool(t, Target{Scheme: "unix", Path: path})
	if err := c.Barrier(); err != nil {
		t.Error(err)
	}
	if err := sw.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := c.Closed(); err != nil {
		t.Error(err)
	}
}

func TestIdentityIsStable(t *testing.T) {
	cfg := BridgeConfig{Name: "br0"}
	mac, dpid := identity(&cfg, &Env{Identity: "a", RunDir: "/run/x"})
	mac2, dpid2 := identity(&cfg, &Env{Identity: "a", RunDir: "/run/x"})
	if mac != mac2 || dpid != dpid2 || mac[0]&3 != 2 || dpid == 0 || dpid>>48 != 0 {
		t.Errorf("%s %x, then %s %x", mac, dpid, mac2, dpid2)
	}
	for _, e := range []Env{{Identity: "b", RunDir: "/run/x"}, {Identity: "a", RunDir: "/run/y"}} {
		if _, other := identity(&cfg, &e); other == dpid {
			t.Errorf("%+v has the same datapath id", e)
		}
	}
	cfg.MAC = [6]byte{2, 0, 0, 0, 0, 7}
	if _, dpid := identity(&cfg, &Env{}); dpid != 0x020000000007 {
		t.Errorf("made from the MAC: %x", dpid)
	}
	cfg.DPID = 5
	if _, dpid := identity(&cfg, &Env{}); dpid != 5 {
		t.Errorf("given: %x", dpid)
	}
}

// authority makes certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var der []byte
	der, a.key = a.sign("ca", nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) sign(name string, parent *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true}
	signer := a.key
	if parent == nil {
		c.IsCA, parent, signer = true, c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue gives the files of a certificate for name.
func (a *authority) issue(name string) TLSConfig {
	a.t.Helper()
	der, key := a.sign(name, a.cert)
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return TLSConfig{PrivateKey: a.write(name+".key", "EC PRIVATE KEY", k), Certificate: a.write(name+".pem", "CERTIFICATE", der),
		CACert: filepath.Join(a.dir, "ca.pem")}
}

func (a *authority) config(files TLSConfig) *tls.Config {
	a.t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Certificate, files.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		InsecureSkipVerify: true} // the test looks at the switch's side
}

func TestTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	b := newBench(t, 0, withRealClock, func(c *BridgeConfig, _ *Env) {
		c.TLS = ca.issue("switch")
		c.Listen = []Target{{Scheme: "pssl", Host: "127.0.0.1"}}
	})
	target, err := ParseTarget(b.sw.Status().Listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  *tls.Config
		ok   bool
	}{
		{"signed by the CA", ca.config(ca.issue("tool")), true},
		{"signed by another", stranger.config(stranger.issue("tool")), false},
	} {
		nc, err := tls.Dial("tcp", target.Address(), c.cfg)
		if err == nil {
			var ctl *oftest.Controller
			if ctl, err = oftest.New(nc, oftest.Config{Timeout: inTime}); err == nil {
				err = ctl.Barrier()
				ctl.Close()
			}
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}

	for name, side := range map[string]*authority{"ours": ca, "a stranger's": stranger} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", side.config(side.issue("controller")))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		got := make(chan error, 1)
		go func() {
			nc, err := l.Accept()
			if err == nil {
				_, err = oftest.New(nc, oftest.Config{Timeout: inTime})
			}
			got <- err
		}()
		dst, err := ParseTarget("ssl:" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		cfg := b.sw.Config()
		cfg.Controllers = []ControllerConfig{{Target: dst, MinBackoff: time.Minute}}
		if err := b.sw.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		if err := <-got; (err == nil) != (side == ca) {
			t.Errorf("a controller with %s certificate: %v", name, err)
		}
	}
}
