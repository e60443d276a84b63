package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --timezone works on machines without zone files

	"github.com/alecthomas/kong"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

// errDone says that --help or --version was answered and nothing is left to do.
var errDone = errors.New("done")

// config is what Hubbub was told at its start, checked.
type config struct {
	addr           string         // where to listen, "host:port"
	database       string         // the data directory, which may not exist yet, or postgres://…
	nats           string         // NATS servers, "nats://a,b,c"; "": none
	baseURL        url.URL        // the public address; zero: none. Path is "" or "/chat", with no slash at its end
	timezone       *time.Location // the server's zone, for times shown without script
	logFormat      string         // "text" or "json"
	logFile        string         // "": standard error
	certificate    *tls.Certificate
	postRate       int            // a user's posts a minute; 0: no limit
	loginRate      int            // an address's sign-ins a minute; 0: no limit
	trustedProxies []netip.Prefix // whose X-Forwarded-For is believed
}

// flags are the command line as it was written. Every flag but help and
// version may also be set by the environment variable of envName.
type flags struct {
	Addr           string `default:":8080" placeholder:"HOST:PORT" help:"Address to listen on."`
	Data           string `default:"./data" placeholder:"DIR" help:"Directory that everything is kept in."`
	Database       string `placeholder:"URL" help:"PostgreSQL to keep everything in instead, for several nodes, such as postgres://hubbub@db/hubbub."`
	NATS           string `name:"nats" placeholder:"URLS" help:"NATS servers through which the nodes tell each other what is new, such as nats://a,b,c (default: PostgreSQL does)."`
	BaseURL        string `placeholder:"URL" help:"Address that people reach Hubbub at when it is behind a proxy, such as https://intranet/chat/."`
	Timezone       string `placeholder:"ZONE" help:"Time zone of times shown by browsers without script, such as Europe/Berlin (default: this machine's)."`
	LogFormat      string `default:"text" placeholder:"FORMAT" help:"Format of the log, text or json."`
	LogFile        string `placeholder:"FILE" help:"File to append the log to, opened anew on SIGHUP (default: standard error)."`
	TLSCert        string `name:"tls-cert" placeholder:"FILE" help:"Certificate to serve HTTPS with, in PEM, followed by those that it rests on."`
	TLSKey         string `name:"tls-key" placeholder:"FILE" help:"Private key of the certificate, in PEM."`
	PostRate       string `default:"120" placeholder:"N" help:"Messages that one user may post in a minute, 0 for any number."`
	LoginRate      string `default:"60" placeholder:"N" help:"Sign-ins that one address may try in a minute, 0 for any number."`
	TrustedProxies string `placeholder:"LIST" help:"IP addresses and CIDR ranges, separated by commas, of proxies whose X-Forwarded-For is believed."`
	Help           bool   `short:"h" help:"Show this help and stop."`
	Version        bool   `help:"Show the version and stop."`
}

// envName returns the environment variable that stands in for a flag.
// An empty variable counts as none.
func envName(flag string) string {
	return "HUBBUB_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// parseConfig reads the flags in args, and in the environment what args leave
// out, and checks them. --help and --version are answered on stdout; then the
// error is errDone. Any other error is a sentence that names the flag and its
// value.
func parseConfig(args []string, getenv func(string) string, stdout io.Writer) (config, error) {
	var f flags
	ctx, err := parse(&f, "hubbub", "Hubbub is team chat for an intranet: one program, one data directory, any browser.\n\n"+
		"hubbub migrate moves what is in the data directory to PostgreSQL; see hubbub migrate --help.", args, getenv, stdout)
	if err != nil {
		return config{}, err
	}
	switch {
	case f.Help:
		err = ctx.PrintUsage(false)
	case f.Version:
		_, err = fmt.Fprintln(stdout, versionLine())
	default:
		return f.check()
	}
	if err != nil {
		return config{}, err
	}
	return config{}, errDone
}

// parse fills in the flags of a command from args, and from the environment what
// args leave out. Its help goes to stdout.
func parse(flags any, command, description string, args []string, getenv func(string) string, stdout io.Writer) (*kong.Context, error) {
	parser, err := kong.New(flags,
		kong.Name(command),
		kong.Description(description),
		kong.NoDefaultHelp(),
		kong.Writers(stdout, io.Discard),
		kong.ValueFormatter(describe),
		// Not kong's env tags: those read the process's own environment.
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value := getenv(variable(flag.Value)); value != "" && hasEnv(flag.Value) {
				return value, nil
			}
			return nil, nil
		})),
	)
	if err != nil {
		return nil, fmt.Errorf("describe flags: %w", err)
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, fmt.Errorf("%w (%s --help lists the flags)", err, command)
	}
	return ctx, nil
}

// variable returns the environment variable of a flag: that of envName, unless
// it has a tag of its own.
func variable(v *kong.Value) string {
	if name := v.Tag.Get("variable"); name != "" {
		return name
	}
	return envName(v.Name)
}

// hasEnv reports whether a flag may come from the environment.
func hasEnv(v *kong.Value) bool { return !v.IsBool() }

// describe returns the help of a flag with its default and its variable.
func describe(v *kong.Value) string {
	help := v.Help
	if !hasEnv(v) {
		return help
	}
	if v.Default != "" {
		help = strings.TrimSuffix(help, ".") + " (default: " + v.Default + ")."
	}
	return help + " [" + variable(v) + "]"
}

// versionLine names this build.
func versionLine() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	return fmt.Sprintf("hubbub %s %s %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// check returns the flags' values, or every complaint about them.
func (f flags) check() (config, error) {
	var errs []error
	complain := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	var err error
	c := config{addr: f.Addr, database: f.Data, logFormat: f.LogFormat, logFile: f.LogFile}
	complain("addr", checkAddr(f.Addr))
	if f.Database == "" {
		complain("data", checkData(f.Data))
	} else {
		c.database = f.Database
		complain("database", checkDatabase(f.Database))
	}
	c.nats, err = parseNATS(f.NATS)
	complain("nats", err)
	if f.NATS != "" && f.Database == "" {
		complain("nats", errors.New("several nodes need a --database"))
	}
	c.baseURL, err = parseBaseURL(f.BaseURL)
	complain("base-url", err)
	c.timezone, err = parseTimezone(f.Timezone)
	complain("timezone", err)
	if f.LogFormat != "text" && f.LogFormat != "json" {
		complain("log-format", fmt.Errorf("%q is neither text nor json", f.LogFormat))
	}
	c.postRate, err = parseRate(f.PostRate)
	complain("post-rate", err)
	c.loginRate, err = parseRate(f.LoginRate)
	complain("login-rate", err)
	c.trustedProxies, err = parsePrefixes(f.TrustedProxies)
	complain("trusted-proxies", err)

	switch {
	case f.TLSCert == "" && f.TLSKey == "":
	case f.TLSKey == "":
		complain("tls-cert", fmt.Errorf("%q needs its --tls-key as well", f.TLSCert))
	case f.TLSCert == "":
		complain("tls-key", fmt.Errorf("%q needs its --tls-cert as well", f.TLSKey))
	default:
		cert, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			err = fmt.Errorf("%q with --tls-key %q: %w", f.TLSCert, f.TLSKey, err)
		}
		complain("tls-cert", err)
		c.certificate = &cert
	}
	if len(errs) > 0 {
		return config{}, errors.Join(errs...)
	}
	return c, nil
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as :8080 or 127.0.0.1:8080", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535", addr)
	}
	return nil
}

func checkData(dir string) error {
	if dir == "" {
		return errors.New(`"" names no directory`)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // made when the store opens
	case err != nil:
		return fmt.Errorf("%q: %w", dir, err)
	case !info.IsDir():
		return fmt.Errorf("%q is not a directory", dir)
	}
	return nil
}

// checkDatabase says what is wrong with the address of a database, without
// quoting it: it may hold a password. It may name several hosts, as no other URL
// does, so what follows the scheme is for the store to read.
func checkDatabase(address string) error {
	scheme, _, _ := strings.Cut(address, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return errors.New("it is no URL such as postgres://user@host/database")
	}
	return nil
}

// parseNATS returns the addresses in a list, the first of which may stand for
// the others' scheme and user, without quoting them: they may hold a password.
func parseNATS(list string) (string, error) {
	if list == "" {
		return "", nil
	}
	var servers []string
	first := url.URL{Scheme: "nats"}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if !strings.Contains(item, "://") {
			item = first.Scheme + "://" + item
		}
		u, err := url.Parse(item)
		if err != nil || u.Hostname() == "" || u.Scheme != "nats" && u.Scheme != "tls" || u.Path != "" || u.RawQuery != "" {
			return "", errors.New("it is no list of addresses such as nats://a,b,c or tls://user:password@a:4222")
		}
		if len(servers) == 0 {
			first = *u
		} else if u.User == nil {
			u.User = first.User
		}
		servers = append(servers, u.String())
	}
	return strings.Join(servers, ","), nil
}

// parseBaseURL returns the address in the form that browsers send as an
// origin: lower case, no default port. It takes only what is safe to write
// into a header or a cookie as it stands.
func parseBaseURL(s string) (url.URL, error) {
	if s == "" {
		return url.URL{}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return url.URL{}, fmt.Errorf("%q is not a URL", s)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return url.URL{}, fmt.Errorf("%q does not start with http:// or https://", s)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#") {
		return url.URL{}, fmt.Errorf("%q has a user, a query or a fragment; a base URL has none", s)
	}
	host, err := parseHost(u)
	if err != nil {
		return url.URL{}, fmt.Errorf("%q %w", s, err)
	}
	if strings.ContainsFunc(u.Path, func(r rune) bool { return !plain(r) && !strings.ContainsRune("/~", r) }) {
		return url.URL{}, fmt.Errorf("%q has a path with more than letters, digits and - . _ ~ /", s)
	}
	return url.URL{Scheme: u.Scheme, Host: host, Path: strings.TrimSuffix(path.Clean("/"+u.Path), "/")}, nil
}

// parseHost returns the host of u and, unless it is the scheme's own, the port.
func parseHost(u *url.URL) (string, error) {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if host == "" {
		return "", errors.New("has no host")
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && addr.Zone() == "" {
		host = "[" + addr.String() + "]"
	} else if strings.ContainsFunc(host, func(r rune) bool { return !plain(r) }) {
		return "", errors.New("has a host with more than letters, digits and - . _")
	}
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return host, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("has no port from 1 to 65535")
	}
	return host + ":" + port, nil
}

// plain reports whether r means the same in every part of a URL and a header.
func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._", r)
}

func parseTimezone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q", name)
	}
	return zone, nil
}

func parseRate(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number from 0 up", s)
	}
	return int(n), nil
}

// parsePrefixes reads addresses and ranges separated by commas. An address
// stands for the range that holds only itself.
func parsePrefixes(list string) ([]netip.Prefix, error) {
	if list == "" {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if addr, err := netip.ParseAddr(item); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		} else if prefix, err := netip.ParsePrefix(item); err == nil {
			prefixes = append(prefixes, prefix.Masked())
		} else {
			return nil, fmt.Errorf("%q is neither an IP address nor a CIDR range", item)
		}
	}
	return prefixes, nil
}
