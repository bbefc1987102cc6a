package celonis

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Auth gives the Authorization header of a request. It may be used concurrently.
type Auth interface {
	// Header returns the header's value.
	Header(ctx context.Context) (string, error)
	// Refresh forgets what Header remembers, after the API refused it. It reports
	// whether that can help.
	Refresh() bool
}

// Key is a static key: scheme "Bearer" for a user's API key, "AppKey" for an
// application key. It is asked for each time, so a rotated key takes effect.
type Key struct {
	Scheme string
	Value  func() (string, error)
}

func (k Key) Header(context.Context) (string, error) {
	v, err := k.Value()
	return k.Scheme + " " + v, err
}

func (Key) Refresh() bool { return true } // the file behind it may have changed

// OAuth is the client credentials grant (RFC 6749, section 4.4). Tokens of the
// platform live fifteen minutes and are renewed a minute early.
type OAuth struct {
	TokenURL string
	ClientID string
	Secret   func() (string, error)
	Scopes   []string
	Post     bool         // send the credentials in the form instead of HTTP Basic
	Client   *http.Client // nil: one with a timeout

	mu    sync.Mutex
	token *oauth2.Token
}

const (
	renewEarly   = time.Minute
	tokenTimeout = 30 * time.Second
)

func (o *OAuth) Header(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.token == nil || !o.token.Expiry.IsZero() && time.Until(o.token.Expiry) < renewEarly {
		secret, err := o.Secret()
		if err != nil {
			return "", err
		}
		c := clientcredentials.Config{
			ClientID: o.ClientID, ClientSecret: secret, TokenURL: o.TokenURL,
			Scopes: o.Scopes, AuthStyle: oauth2.AuthStyleInHeader, EndpointParams: url.Values{},
		}
		if o.Post {
			c.AuthStyle = oauth2.AuthStyleInParams
		}
		client := o.Client
		if client == nil {
			client = &http.Client{Timeout: tokenTimeout}
		}
		if o.token, err = c.Token(context.WithValue(ctx, oauth2.HTTPClient, client)); err != nil {
			return "", err
		}
	}
	return "Bearer " + o.token.AccessToken, nil
}

func (o *OAuth) Refresh() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.token = nil
	return true
}
