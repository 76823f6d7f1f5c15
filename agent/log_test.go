package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

func newTestLogger(c LogConfig) (*Logger, *bytes.Buffer, *time.Time) {
	var out bytes.Buffer
	l := NewLogger(&out, c)
	now := time.Unix(1_000_000, 0)
	l.root.now = func() time.Time { return now }
	return l, &out, &now
}

func TestLogNamesWhatItSpeaksOf(t *testing.T) {
	l, out, _ := newTestLogger(LogConfig{Level: "info", Format: "json"})
	l.Part("port").With("bridge", "br0").With("port", "eth1").Warnf("lost its %s", "carrier")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"bridge": "br0", "port": "eth1", "part": "port", "level": "warning", "msg": "lost its carrier"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %s", key, line[key], want)
		}
	}
}

func TestLogLevelsByPart(t *testing.T) {
	l, out, _ := newTestLogger(LogConfig{Level: "warn", Format: "text", Levels: map[string]string{"channel": "debug", "fdb": "error"}})
	l.Infof("no")
	l.Warnf("yes 1")
	l.Part("channel").Debugf("yes 2")
	l.Part("fdb").Warnf("no")
	l.Part("fdb").Errorf("yes 3")
	if n := strings.Count(out.String(), "\n"); n != 3 || strings.Contains(out.String(), "msg=no") {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if l.debugEnabled() || !l.Part("channel").debugEnabled() {
		t.Error("debugEnabled does not follow the part")
	}
	l.Configure(LogConfig{Level: "debug", Format: "json"})
	out.Reset()
	l.Part("fdb").Debugf("yes 4")
	if !strings.HasPrefix(out.String(), "{") {
		t.Errorf("the new configuration does not hold: %q", out)
	}
}

func TestLogLimitsEachCallSite(t *testing.T) {
	l, out, now := newTestLogger(LogConfig{Level: "info", Format: "text"})
	noisy := func(i int) { l.Infof("line %d", i) }
	for i := range logBurst + 30 {
		noisy(i)
	}
	l.Infof("another site")
	if n := strings.Count(out.String(), "line "); n != logBurst {
		t.Errorf("%d lines in a burst, want %d", n, logBurst)
	}
	if !strings.Contains(out.String(), "another site") {
		t.Error("one noisy site silenced another")
	}
	out.Reset()
	*now = now.Add(logEvery)
	noisy(1)
	noisy(2)
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "suppressed=30") {
		t.Errorf("after %s: %s", logEvery, out)
	}
	*now = now.Add(time.Hour) // the bucket fills up to the burst and no further
	out.Reset()
	for i := range 2 * logBurst {
		noisy(i)
	}
	if n := strings.Count(out.String(), "\n"); n != logBurst {
		t.Errorf("%d lines after a rest, want %d", n, logBurst)
	}
}

func TestNilLoggerIsSilent(t *testing.T) {
	var l *Logger
	l.Part("port").With("a", 1).Errorf("nothing %v", fmt.Sprint)
	l.Configure(LogConfig{})
	if l.debugEnabled() {
		t.Error("a nil Logger wants debug lines")
	}
}

// TestRefusalIsLoggedOnce: the reason that the ERROR cannot say is in the log, the first time for each kind of mistake.
func TestRefusalIsLoggedOnce(t *testing.T) {
	log := new(syncBuffer)
	b := newBench(t, 0, func(_ *BridgeConfig, e *Env) { e.Log = NewLogger(log, LogConfig{Level: "info"}) })
	refuse := func(p *peer, m openflow.Message) {
		t.Helper()
		p.send(m)
		expect[*openflow.Error](p)
	}
	count := func(text string, want int) {
		t.Helper()
		if n := strings.Count(log.String(), text); n != want {
			t.Errorf("%q is there %d times, want %d, in\n%s", text, n, want, log)
		}
	}
	p := b.connect()
	for i := range 3 {
		refuse(p, inTable(200+uint8(i)))
	}
	count("refused FLOW_MOD", 1)
	count("200", 1)
	refuse(p, &openflow.PortMod{Port: 9})
	count("there is no port 9", 1)
	refuse(p, add(1, openflow.Match{}, openflow.Group(5))) // another mistake in the same message
	count("refused FLOW_MOD", 2)
	refuse(b.connect(), inTable(203))
	count("refused FLOW_MOD", 3)
	count("level=warning", 4)
}
