// Slow path: the same settings as flags of the command line.

package agent

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// Flags reads a Config from the command line. Its flags are made from the same table
// as the keys of the file. Settings of a bridge belong to the last --name before them;
// those before the first --name belong to the first bridge, which is br0 if nobody
// names it.
type Flags struct {
	d   draft
	r   reader
	set []func(d *draft) // process settings given, to be repeated over a file
}

// NewFlags registers the flags of every setting in fs.
func NewFlags(fs *flag.FlagSet) *Flags {
	f := &Flags{r: reader{where: map[string]place{}}}
	for _, s := range processSettings() {
		if s.set == nil {
			continue
		}
		register(fs, &s, func(text string) error {
			f.set = append(f.set, func(d *draft) { _ = s.set(d, text) })
			return f.take("", s.flag, text, s.key, s.set(&f.d, text))
		})
	}
	for _, s := range bridgeSettings() {
		register(fs, &s, func(text string) error {
			b := f.bridge(s.key == "name")
			path := b.pathOf(s.key) // before the setter moves it on
			return f.take(b.at+".", s.flag, text, path, s.set(b, text))
		})
	}
	return f
}

// register makes one flag; a BOOL one may stand without a value.
func register[T any](fs *flag.FlagSet, s *setting[T], set func(string) error) {
	if s.arg == "BOOL" {
		fs.BoolFunc(s.flag, s.help, set)
		return
	}
	fs.Func(s.flag, "`"+s.arg+"` "+s.help, set)
}

// bridge is the draft that a bridge's flag belongs to.
func (f *Flags) bridge(named bool) *bridgeDraft {
	n := len(f.d.bridges)
	if n == 0 || (named && f.d.bridges[n-1].Name != "") {
		f.d.bridges = append(f.d.bridges, &bridgeDraft{at: fmt.Sprintf("bridges[%d]", n)})
		n++
	}
	return f.d.bridges[n-1]
}

// pathOf is where the next value given to a key will stand in b.
func (b *bridgeDraft) pathOf(key string) string {
	switch key {
	case "ports":
		return fmt.Sprintf("ports[%d]", len(b.Ports))
	case "controllers":
		return fmt.Sprintf("controllers[%d]", len(b.controllers))
	case "listen":
		return fmt.Sprintf("listen[%d]", len(b.Listen))
	case "listen-auxiliary":
		return fmt.Sprintf("listen-auxiliary[%d]", len(b.ListenAux))
	}
	return key
}

// take notes where a value stood, and what was wrong with it. It answers flag.Parse
// with nil so that all mistakes are told at once, in weir's own words.
func (f *Flags) take(prefix, name, text, path string, err error) error {
	at := place{flag: strings.TrimSpace("--" + name + " " + text)}
	for _, e := range mistakes(err) {
		f.r.errs = append(f.r.errs, ConfigError{Key: at.flag, Problem: strings.TrimPrefix(e.Error(), fmt.Sprintf("port %q: ", text))})
	}
	if err != nil {
		return nil
	}
	f.r.where[prefix+path] = at
	return nil
}

// FlagDefaults is what holds where nobody says anything, by flag, for help.
func FlagDefaults() map[string]string {
	c, err := ParseConfig("", []byte("bridges: [{name: br0, controllers: [\"tcp:127.0.0.1\"]}]"))
	if err != nil {
		panic(fmt.Sprintf("agent: the smallest configuration is refused: %v", err))
	}
	b := &c.Bridges[0]
	k := &b.Controllers[0]
	return map[string]string{
		"name": b.Name, "fail-mode": string(b.FailMode), "table-miss": string(b.TableMiss), "protocols": strings.Join(b.Protocols, ","),
		"rundir": "$OVS_RUNDIR, else /run/weir", "log-level": c.Log.Level, "log-format": c.Log.Format,
		"tables": fmt.Sprint(b.Tables), "max-flows": fmt.Sprint(b.MaxFlows), "max-groups": fmt.Sprint(b.MaxGroups), "max-meters": fmt.Sprint(b.MaxMeters), "max-paths": fmt.Sprint(b.MaxPaths),
		"mac-table-size": fmt.Sprint(b.MACTable.Size), "mac-table-age": b.MACTable.Age.String(), "spin": strings.ReplaceAll(b.Spin.String(), "µ", "u"),
		"min-backoff": k.MinBackoff.String(), "max-backoff": k.MaxBackoff.String(), "inactivity-probe": k.InactivityProbe.String(),
		"auxiliary": fmt.Sprint(k.Auxiliary), "packet-in-rate": fmt.Sprint(k.PacketInRate), "packet-in-burst": fmt.Sprint(k.PacketInBurst),
		"packet-in-queue": fmt.Sprint(b.PacketInQueue), "buffers": fmt.Sprint(b.Buffers.Number), "buffer-age": b.Buffers.Age.String(),
		"fragments": b.Fragments.String(),
	}
}

// GivesBridge reports whether a flag that belongs to a bridge was given.
func (f *Flags) GivesBridge() bool { return len(f.d.bridges) > 0 }

// Config completes and checks what the flags said. It may be asked once. A command line that
// describes no bridge is refused: a switch without ports is what nobody meant.
func (f *Flags) Config() (*Config, error) {
	if len(f.d.bridges) == 0 && len(f.r.errs) == 0 {
		return nil, errors.New("expected a bridge: name a file with -c FILE, or describe one, as in \"weir run --name br0 --port eth1 --port eth2\"")
	}
	for _, b := range f.d.bridges {
		orWord(&b.Name, "br0")
	}
	return f.r.finish(&f.d)
}

// Load reads the file and puts the process settings that were given as flags (rundir,
// logging) over those of the file. Flags of bridges are refused: one place says it all.
func (f *Flags) Load(file string) (*Config, error) {
	if f.GivesBridge() {
		return nil, ConfigErrors{{Key: "-c " + file, Problem: "flags that describe a bridge cannot be mixed with a file: put them into it"}}
	}
	if len(f.r.errs) > 0 {
		return nil, f.r.errs
	}
	c, err := LoadConfig(file)
	if err != nil {
		return nil, err
	}
	f.Over(c)
	return c, nil
}

// Over puts the process settings that were given as flags over those of c.
func (f *Flags) Over(c *Config) {
	d := &draft{Config: *c}
	for _, set := range f.set {
		set(d)
	}
	*c = d.Config
}
