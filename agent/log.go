// Slow path: log lines that name what they speak of, limited at each call site.

package agent

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// logParts are the names that LogConfig.Levels may give a level of their own.
var logParts = []string{"agent", "switch", "channel", "port", "fdb", "control"}

// Logger writes log lines of one part of the agent, with the fields (bridge, port,
// controller) that say what the line is about. Each call site may write logBurst
// lines at once and then one each logEvery; what is held back is counted and told
// with the next line of that site. A nil *Logger is silent. Never used on the packet
// path. Safe for concurrent use.
type Logger struct {
	root   *logRoot
	part   string
	fields logrus.Fields // never changed once the Logger exists
}

const (
	logBurst = 20          // lines at once from one call site
	logEvery = time.Second // then one line each
)

// logRoot is what all Loggers of a process share.
type logRoot struct {
	mu     sync.Mutex
	out    *logrus.Logger
	stderr io.Writer // where lines go while no file is named
	file   *os.File
	level  logrus.Level
	levels map[string]logrus.Level
	sites  map[callSite]*logSite
	now    func() time.Time
}

// callSite is the line of code that logs; a program counter would count each place
// that a function was inlined into.
type callSite struct {
	file string
	line int
}

// logSite is the token bucket of one call site. Guarded by logRoot.mu.
type logSite struct {
	tokens     float64
	last       time.Time
	suppressed int
}

// NewLogger writes to w as c says, but for c.File, which is Open's business. c is checked.
func NewLogger(w io.Writer, c LogConfig) *Logger {
	r := &logRoot{out: logrus.New(), stderr: w, sites: map[callSite]*logSite{}, now: time.Now}
	r.out.SetOutput(w)
	r.out.SetLevel(logrus.TraceLevel) // the levels are decided here, by part
	l := &Logger{root: r, part: "agent"}
	l.Configure(c)
	return l
}

// Configure changes format and levels of all Loggers that share l's output.
func (l *Logger) Configure(c LogConfig) {
	if l == nil {
		return
	}
	r := l.root
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Format == "json" {
		r.out.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	} else {
		r.out.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
	}
	r.level = logrus.InfoLevel
	if v, err := logrus.ParseLevel(c.Level); err == nil {
		r.level = v
	}
	r.levels = map[string]logrus.Level{}
	for part, name := range c.Levels {
		if v, err := logrus.ParseLevel(name); err == nil {
			r.levels[part] = v
		}
	}
}

// Open appends the lines of all Loggers that share l's output to a file from now on,
// also when it is open already: it may have been moved away meanwhile. An empty name
// goes back to the writer of NewLogger.
func (l *Logger) Open(file string) error {
	if l == nil {
		return nil
	}
	var f *os.File
	if file != "" {
		var err error
		if f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			return fmt.Errorf("the log cannot be written: %w", err)
		}
	}
	r := l.root
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close()
	}
	if r.file = f; f != nil {
		r.out.SetOutput(f)
	} else {
		r.out.SetOutput(r.stderr)
	}
	return nil
}

// Part gives a Logger for another part (one of the names in log.levels).
func (l *Logger) Part(part string) *Logger {
	if l == nil {
		return nil
	}
	return &Logger{root: l.root, part: part, fields: l.fields}
}

// With gives a Logger whose lines carry one more field, such as bridge=br0.
func (l *Logger) With(key string, value any) *Logger {
	if l == nil {
		return nil
	}
	f := make(logrus.Fields, len(l.fields)+1)
	for k, v := range l.fields {
		f[k] = v
	}
	f[key] = value
	return &Logger{root: l.root, part: l.part, fields: f}
}

// Debugf writes a line for those who look for the reason of something.
func (l *Logger) Debugf(format string, args ...any) { l.logf(logrus.DebugLevel, format, args) }

// Infof writes a line about something that changed as intended.
func (l *Logger) Infof(format string, args ...any) { l.logf(logrus.InfoLevel, format, args) }

// Warnf writes a line about something that a user may want to mend.
func (l *Logger) Warnf(format string, args ...any) { l.logf(logrus.WarnLevel, format, args) }

// Errorf writes a line about something that does not work.
func (l *Logger) Errorf(format string, args ...any) { l.logf(logrus.ErrorLevel, format, args) }

// debugEnabled reports whether Debugf writes anything.
func (l *Logger) debugEnabled() bool {
	if l == nil {
		return false
	}
	l.root.mu.Lock()
	defer l.root.mu.Unlock()
	return l.root.enabled(l.part, logrus.DebugLevel)
}

func (r *logRoot) enabled(part string, level logrus.Level) bool {
	limit, ok := r.levels[part]
	if !ok {
		limit = r.level
	}
	return level <= limit
}

func (l *Logger) logf(level logrus.Level, format string, args []any) {
	if l == nil {
		return
	}
	var at callSite
	_, at.file, at.line, _ = runtime.Caller(2)
	r := l.root
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.enabled(l.part, level) {
		return
	}
	held, ok := r.take(at)
	if !ok {
		return
	}
	e := r.out.WithFields(l.fields).WithField("part", l.part)
	if held > 0 {
		e = e.WithField("suppressed", held)
	}
	e.Log(level, fmt.Sprintf(format, args...))
}

// take asks the call site's bucket for one line; held is how many lines were kept
// back since the last one that passed.
func (r *logRoot) take(at callSite) (held int, ok bool) {
	now := r.now()
	s := r.sites[at]
	if s == nil {
		s = &logSite{tokens: logBurst, last: now}
		r.sites[at] = s
	}
	s.tokens = min(logBurst, s.tokens+now.Sub(s.last).Seconds()/logEvery.Seconds())
	s.last = now
	if s.tokens < 1 {
		s.suppressed++
		return 0, false
	}
	s.tokens--
	held, s.suppressed = s.suppressed, 0
	return held, true
}
