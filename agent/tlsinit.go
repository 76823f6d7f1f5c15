// Slow path: a certificate authority and certificates for a lab.

package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLSLab says what InitTLS makes.
type TLSLab struct {
	Dir   string   // made if it is not there
	Hosts []string // names and addresses in the controller's certificate, for clients that compare them
	Days  int      // until the certificates expire
	Now   time.Time
}

// The files of a lab. ca-key.pem signs; whoever has it can be anybody in the lab.
const (
	labCA         = "ca"
	labSwitch     = "switch"
	labController = "controller"
)

// labAuthority is the key and certificate that sign the others.
type labAuthority struct {
	lab  *TLSLab
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// InitTLS makes NAME.pem and NAME-key.pem for the names ca, switch and controller, and gives the
// settings of the switch. An authority that is there already signs again; any other file that is
// there is refused: a key that is in use is not replaced by accident.
func InitTLS(lab TLSLab) (TLSConfig, error) {
	fail := func(err error) (TLSConfig, error) { return TLSConfig{}, err }
	if err := os.MkdirAll(lab.Dir, 0o755); err != nil {
		return fail(err)
	}
	for _, name := range []string{labSwitch, labController} {
		for _, path := range []string{lab.certificate(name), lab.key(name)} {
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				return fail(fmt.Errorf("%s is there already: remove it, or choose another folder", path))
			}
		}
	}
	a, err := lab.authority()
	if err != nil {
		return fail(err)
	}
	if err := a.issue(labSwitch, nil); err != nil {
		return fail(err)
	}
	if err := a.issue(labController, lab.Hosts); err != nil {
		return fail(err)
	}
	return TLSConfig{PrivateKey: lab.key(labSwitch), Certificate: lab.certificate(labSwitch), CACert: lab.certificate(labCA)}, nil
}

func (l *TLSLab) certificate(name string) string { return filepath.Join(l.Dir, name+".pem") }
func (l *TLSLab) key(name string) string         { return filepath.Join(l.Dir, name+"-key.pem") }

// authority reads the one that is in the folder, or makes it.
func (l *TLSLab) authority() (*labAuthority, error) {
	a := &labAuthority{lab: l}
	certPEM, certErr := os.ReadFile(l.certificate(labCA))
	keyPEM, keyErr := os.ReadFile(l.key(labCA))
	switch {
	case certErr == nil && keyErr == nil:
		return a, a.read(certPEM, keyPEM)
	case !errors.Is(certErr, os.ErrNotExist) || !errors.Is(keyErr, os.ErrNotExist):
		return nil, fmt.Errorf("%s and %s: one of them is there and cannot be used with the other: keep both or none", l.certificate(labCA), l.key(labCA))
	}
	t := l.template("weir lab CA")
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	t.MaxPathLenZero = true
	if err := a.sign(labCA, t); err != nil {
		return nil, err
	}
	return l.authority()
}

func (a *labAuthority) read(certPEM, keyPEM []byte) error {
	cert, key := pemOf(certPEM, "CERTIFICATE"), pemOf(keyPEM, "EC PRIVATE KEY")
	var err error
	if a.cert, err = x509.ParseCertificate(cert); err != nil {
		return fmt.Errorf("%s: %w", a.lab.certificate(labCA), err)
	}
	if a.key, err = x509.ParseECPrivateKey(key); err != nil {
		return fmt.Errorf("%s: %w", a.lab.key(labCA), err)
	}
	if !a.key.PublicKey.Equal(a.cert.PublicKey) || !a.cert.IsCA {
		return fmt.Errorf("%s is not the key of the authority in %s", a.lab.key(labCA), a.lab.certificate(labCA))
	}
	return nil
}

// pemOf is the content of the first block of a kind, empty when there is none.
func pemOf(b []byte, kind string) []byte {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return block.Bytes
		}
	}
	return nil
}

// template is what all certificates have in common. It begins an hour ago: clocks of a lab differ.
func (l *TLSLab) template(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"weir lab"}, CommonName: name},
		NotBefore: l.Now.Add(-time.Hour), NotAfter: l.Now.AddDate(0, 0, l.Days),
		BasicConstraintsValid: true,
	}
}

// issue makes a certificate that serves both ends of a connection: switches call and listen.
func (a *labAuthority) issue(name string, hosts []string) error {
	t := a.lab.template(name)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return a.sign(name, t)
}

// sign makes a key and the certificate for it, and writes both. An authority without a certificate
// of its own signs itself.
func (a *labAuthority) sign(name string, t *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = t, key
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(a.lab.key(name), "EC PRIVATE KEY", secret, 0o600); err != nil {
		return err
	}
	return writePEM(a.lab.certificate(name), "CERTIFICATE", cert, 0o644)
}

// writePEM makes a file that was not there.
func writePEM(path, kind string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := pem.Encode(f, &pem.Block{Type: kind, Bytes: content}); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
