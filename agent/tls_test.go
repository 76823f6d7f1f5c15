package agent

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow/oftest"
)

func initLab(t *testing.T, dir string) TLSConfig {
	t.Helper()
	files, err := InitTLS(TLSLab{Dir: dir, Hosts: []string{"localhost", "127.0.0.1"}, Days: 10, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// labPeer is the TLS configuration of a controller with a lab's files, which compares names.
func labPeer(t *testing.T, dir string) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "controller.pem"), filepath.Join(dir, "controller-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

// TestLabCertificates: openssl finds nothing wrong with them; keys are private; nothing is replaced.
func TestLabCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	files := initLab(t, dir)
	for _, name := range []string{"ca-key.pem", "switch-key.pem", "controller-key.pem"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
	if _, err := InitTLS(TLSLab{Dir: dir, Days: 1, Now: time.Now()}); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second time: %v", err)
	}
	before, _ := os.ReadFile(files.CACert)
	for _, name := range []string{"switch.pem", "switch-key.pem", "controller.pem", "controller-key.pem"} {
		os.Remove(filepath.Join(dir, name))
	}
	initLab(t, dir)
	if after, _ := os.ReadFile(files.CACert); string(after) != string(before) {
		t.Error("the authority was replaced")
	}
	os.Remove(filepath.Join(dir, "ca-key.pem"))
	os.Remove(filepath.Join(dir, "switch.pem"))
	os.Remove(filepath.Join(dir, "switch-key.pem"))
	os.Remove(filepath.Join(dir, "controller.pem"))
	os.Remove(filepath.Join(dir, "controller-key.pem"))
	if _, err := InitTLS(TLSLab{Dir: dir, Days: 1, Now: time.Now()}); err == nil || !strings.Contains(err.Error(), "keep both or none") {
		t.Errorf("half an authority: %v", err)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed (make deps installs it on Debian)")
		}
		t.Skip("openssl is not installed: its opinion is not asked")
	}
	dir = t.TempDir()
	initLab(t, dir)
	for _, args := range [][]string{
		{"verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.pem", "switch.pem"},
		{"verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", "ca.pem", "controller.pem"},
		{"verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-CAfile", "ca.pem", "controller.pem"},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v\n%s", args, err, out)
		}
	}
}

// TestTLSFilesAreReadAgain: certificates that were renewed serve the next connection, without a word
// to the switch; the one that is there goes on.
func TestTLSFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	files := initLab(t, dir)
	b := newBench(t, 0, withRealClock, func(c *BridgeConfig, _ *Env) {
		c.TLS = files
		c.Listen = []Target{{Scheme: "pssl", Host: "127.0.0.1"}}
	})
	target, err := ParseTarget(b.sw.Status().Listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	connect := func(cfg *tls.Config) (*oftest.Controller, error) {
		cfg = cfg.Clone()
		// The switch's certificate has no name of a host in it, so the chain alone is looked at.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(st tls.ConnectionState) error {
			_, err := st.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: cfg.RootCAs})
			return err
		}
		nc, err := tls.Dial("tcp", target.Address(), cfg)
		if err != nil {
			return nil, err
		}
		return oftest.New(nc, oftest.Config{Timeout: inTime})
	}
	oldPeer := labPeer(t, dir)
	first, err := connect(oldPeer)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		os.Remove(filepath.Join(dir, e.Name()))
	}
	initLab(t, dir) // another authority
	if c, err := connect(oldPeer); err == nil {
		c.Close()
		t.Error("the old authority is still trusted")
	}
	second, err := connect(labPeer(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, c := range []*oftest.Controller{first, second} {
		if err := c.Barrier(); err != nil {
			t.Error(err)
		}
	}

	// The same files on the way to a controller.
	ln, err := tls.Listen("tcp", "127.0.0.1:0", labPeer(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dst, err := ParseTarget("ssl:" + net.JoinHostPort("127.0.0.1", portOf(ln.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	cfg := b.sw.Config()
	cfg.Controllers = []ControllerConfig{{Target: dst, MinBackoff: 20 * time.Millisecond}}
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, err := oftest.New(nc, oftest.Config{Timeout: inTime})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}
