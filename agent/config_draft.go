// Slow path: bridges, controllers and ports of a configuration, element by element.

package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/weirswitch/weir/ports"
)

// portDraft is one entry of ports given as keys; they are joined to the SPEC text
// that the command line uses.
type portDraft struct {
	spec    string
	options []string       // key=value
	lines   map[string]int // by key as ports.Spec knows it
}

// readBridge reads one entry of bridges.
func readBridge(r *reader, n *yaml.Node, at string, d *draft) {
	b := &bridgeDraft{at: at}
	d.bridges = append(d.bridges, b)
	readBlock(r, n, at, bridgeSettings(), b)
	if b.Name == "" && n.Kind == yaml.MappingNode && !hasKey(n, "name") {
		r.failAt(n.Line, at, "the bridge has no name: add one, like \"name: br0\"")
	}
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// readController reads one entry of controllers: a mapping, or the text of --controller.
func readController(r *reader, n *yaml.Node, at string, b *bridgeDraft) {
	if n.Kind == yaml.ScalarNode {
		if text, ok := r.scalar(n, at, "TARGET"); ok {
			if err := b.addControllerAt(text, at); err != nil {
				r.failAt(n.Line, at, err.Error())
			}
		}
		return
	}
	c := &controllerDraft{at: at}
	readBlock(r, n, at, controllerSettings(), c)
	if n.Kind == yaml.MappingNode && !hasKey(n, "target") {
		r.failAt(n.Line, at, "the controller has no target: add one, like \"target: tcp:127.0.0.1:6653\"")
	}
	b.controllers = append(b.controllers, c)
}

// addController takes TARGET[,key=value]... from the command line.
func (b *bridgeDraft) addController(text string) error {
	return b.addControllerAt(text, fmt.Sprintf("%s.controllers[%d]", b.at, len(b.controllers)))
}

// addControllerAt takes the text of a controller that was written at a path.
func (b *bridgeDraft) addControllerAt(text, at string) error {
	c := &controllerDraft{at: at}
	words := strings.Split(text, ",")
	settings := controllerSettings()
	err := c.setTarget(words[0])
	for _, w := range words[1:] {
		if err != nil {
			break
		}
		key, value, ok := strings.Cut(w, "=")
		s := findSetting(settings[1:], key)
		switch {
		case s == nil || !ok:
			err = fmt.Errorf("unknown option %q behind the target: expected %s, each with =VALUE",
				clip(w, 40), strings.Join(knownKeys(settings[1:], ""), ", "))
			if near := Nearest(key, knownKeys(settings[1:], "")); near != "" {
				err = fmt.Errorf("unknown option %q behind the target: write %s=VALUE", clip(w, 40), near)
			}
		default:
			if err = s.set(c, value); err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	if err != nil {
		return err
	}
	b.controllers = append(b.controllers, c)
	return nil
}

// setTarget takes a target that can be dialled.
func (c *controllerDraft) setTarget(s string) error {
	t, err := ParseTarget(s)
	if err != nil {
		return err
	}
	if t.Passive() {
		return fmt.Errorf("target %q waits for connections: put it under listen, or write %s to call a controller",
			s, strings.TrimPrefix(t.Scheme, "p")+":...")
	}
	c.target = t
	return nil
}

// addListener takes a target that waits for connections.
func (b *bridgeDraft) addListener(s string) error {
	path := fmt.Sprintf("%s.listen[%d]", b.at, len(b.Listen))
	if err := addPassive(&b.Listen, s); err != nil {
		return err
	}
	b.listenPaths = append(b.listenPaths, path)
	return nil
}

// addAuxListener takes one that waits for auxiliary connections.
func (b *bridgeDraft) addAuxListener(s string) error {
	path := fmt.Sprintf("%s.listen-auxiliary[%d]", b.at, len(b.ListenAux))
	if err := addPassive(&b.ListenAux, s); err != nil {
		return err
	}
	b.auxPaths = append(b.auxPaths, path)
	return nil
}

func addPassive(list *[]Target, s string) error {
	t, err := ParseTarget(s)
	if err != nil {
		return err
	}
	if !t.Passive() {
		return fmt.Errorf("target %q calls somebody: put it under controllers, or write p%s:... to listen", s, t.Scheme)
	}
	for _, have := range *list {
		if have == t {
			return fmt.Errorf("%s is listed twice: keep one", t)
		}
	}
	*list = append(*list, t)
	return nil
}

// readPort reads one entry of ports: a mapping, or the text of --port.
func readPort(r *reader, n *yaml.Node, at string, b *bridgeDraft) {
	if n.Kind == yaml.ScalarNode {
		if text, ok := r.scalar(n, at, "[NUM:]SPEC"); ok {
			for _, err := range mistakes(b.addPortAt(text, at)) {
				r.failAt(n.Line, at, err.Error())
			}
		}
		return
	}
	p := &portDraft{lines: map[string]int{}}
	before := len(r.errs)
	readBlock(r, n, at, portYAML(), p)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		p.lines[optionKey(n.Content[i].Value)] = n.Content[i+1].Line
	}
	incomplete := len(r.errs) > before // a key that is left out may be what the others need
	if p.spec == "" {
		if n.Kind == yaml.MappingNode && !hasKey(n, "port") {
			r.failAt(n.Line, at, "the port has no \"port\" key: add one, like \"port: 1:eth1\"")
		}
		return
	}
	for _, err := range mistakes(b.addPortAt(strings.Join(append([]string{p.spec}, p.options...), ","), at)) {
		var bad *ports.SpecError
		if !incomplete || !errors.As(err, &bad) || !bad.Joint {
			r.failPort(n, p, at, err)
		}
	}
}

// portYAML is portSettings with the functions that collect the words.
func portYAML() []setting[portDraft] {
	settings := portSettings()
	for i := range settings {
		key, list := settings[i].key, settings[i].shape == shapeList
		settings[i].set = func(p *portDraft, s string) error {
			if strings.ContainsRune(s, ',') && key != "port" {
				return fmt.Errorf("%q has a comma, which separates the options of a port: leave it out", clip(s, 40))
			}
			if key == "port" {
				if p.spec = s; s == "" {
					return errors.New("is empty: expected [NUM:]SPEC, like 1:eth1")
				}
				return nil
			}
			p.add(optionKey(key), s, list && key == "trunks")
			return nil
		}
	}
	return settings
}

// add appends an option; the elements of a list of trunks become one word.
func (p *portDraft) add(key, value string, merge bool) {
	if last := len(p.options) - 1; merge && last >= 0 && strings.HasPrefix(p.options[last], key+"=") {
		p.options[last] += ";" + value
		return
	}
	p.options = append(p.options, key+"="+value)
}

// optionKey is a YAML key as the text of a port spells it.
func optionKey(key string) string {
	if key == "queues" {
		return "queue"
	}
	return key
}

// failPort reports a bad port in the line of the key that is to blame.
func (r *reader) failPort(n *yaml.Node, p *portDraft, at string, err error) {
	line := n.Line
	var bad *ports.SpecError
	if errors.As(err, &bad) {
		key, _, _ := strings.Cut(bad.Word, "=")
		if l, ok := p.lines[key]; ok {
			line = l
		} else if l, ok := p.lines["port"]; ok {
			line = l
		}
	}
	r.failAt(line, at, err.Error())
}

// addPort takes [NUM:]SPEC from the command line.
func (b *bridgeDraft) addPort(text string) error {
	return b.addPortAt(text, fmt.Sprintf("%s.ports[%d]", b.at, len(b.Ports)))
}

// addPortAt takes the text of a port that was written at a path.
func (b *bridgeDraft) addPortAt(text, at string) error {
	p, err := ParsePort(text)
	if err != nil {
		return err
	}
	b.Ports = append(b.Ports, p)
	b.portPaths = append(b.portPaths, at)
	return nil
}

// ParsePort reads the text of one port, as --port and "weir port add" take it.
//
// Its error joins all mistakes: a word that is wrong is told and left out, and the others are read again.
// Only whether they fit together is not asked then.
func ParsePort(text string) (PortConfig, error) {
	words := strings.Split(strings.ReplaceAll(text, ",vlan_mode=", ",vlan-mode="), ",")
	var errs []error
	for len(errs) < maxConfigErrors {
		p, err := parsePort(strings.Join(words, ","))
		if err == nil && len(errs) == 0 {
			return p, nil
		}
		var bad *ports.SpecError
		if !errors.As(err, &bad) || bad.Joint && len(errs) > 0 {
			break
		}
		bad.Text = text
		if near := Nearest(bad.Word, bad.Known); near != "" {
			bad.Want = fmt.Sprintf("no such option, did you mean %q?", near)
		}
		errs = append(errs, bad)
		i := slices.Index(words[1:], bad.Word)
		if i < 0 {
			i = slices.IndexFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, bad.Word+"=") })
		}
		if i < 0 {
			break
		}
		words = slices.Delete(words, i+1, i+2)
	}
	return PortConfig{}, errors.Join(errs...)
}

// parsePort reads the text up to the first mistake, a *ports.SpecError.
func parsePort(text string) (PortConfig, error) {
	var p PortConfig
	rest, err := p.takeQueueWords(text)
	if err != nil {
		return PortConfig{}, err
	}
	p.Spec, err = ports.ParseSpec(rest)
	if err != nil {
		return PortConfig{}, err
	}
	return p, nil
}
