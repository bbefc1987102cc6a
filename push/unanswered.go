package push

import (
	"crypto/tls"
	"errors"
	"net"
)

// Unanswered says what to do about a request that got no answer, by the settings of a target
// whose names begin with prefix.
func Unanswered(err error, prefix string) string {
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	var timeout net.Error
	check := "check " + prefix + "URL, the network and HTTPS_PROXY"
	switch {
	case errors.As(err, &cert):
		return prefix + "CA_FILE: the certificate is not signed by a known authority"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy does not let it through: check HTTPS_PROXY and NO_PROXY"
	case op != nil && op.Op == "dial":
		return "nothing answers there: " + check
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time: check " + prefix + "URL and the network, or raise " + prefix + "REQUEST_TIMEOUT for large requests over a slow line"
	}
	return "no answer came: " + check
}
