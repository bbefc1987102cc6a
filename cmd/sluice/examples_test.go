package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// composeFile is of the format of Compose what ours uses.
type composeFile struct {
	Name     string
	Services map[string]struct {
		Image       string
		PullPolicy  string `yaml:"pull_policy"`
		Build       struct{ Context, Dockerfile string }
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Environment map[string]string
		Configs     []struct{ Source, Target string }
		Entrypoint  []string
		Command     []string
		Ports       []string
		StopGrace   string `yaml:"stop_grace_period"`
		Healthcheck *struct {
			Test              []string
			Interval, Timeout string
			Retries           int
		}
	}
	Configs map[string]struct{ Content string }
}

// afterDrain is what a grace period has above the drain: a commit that has just begun (15 s),
// the client's end, and the last telemetry.
const afterDrain = 15*time.Second + 5*time.Second + lastTelemetry

// source is what an example says of its database and of what carries its changes to
// Sluice.
type source struct {
	connector map[string]string
	once      any // the worker's exactly.once.source.support
	sql       string
	topics    string
}

// recommended is what a connector is to have wherever the changes come from: values that tell
// their types, one text for one key, NULL for NULL, no NULL for what cannot be converted, and
// topics that are whole and in order.
var recommended = map[string]string{
	"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false", "key.converter.replace.null.with.default": "false",
	"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "true", "value.converter.replace.null.with.default": "false",
	"event.converting.failure.handling.mode": "fail", "topic.creation.default.cleanup.policy": "delete", "publication.autocreate.mode": "disabled",
}

// check holds the connector against the database and the topics, and against what is
// recommended.
func (s source) check(t *testing.T) {
	t.Helper()
	for name, want := range recommended {
		if s.connector[name] != want {
			t.Errorf("the connector's %s is %q, want %s", name, s.connector[name], want)
		}
	}
	if s.once != "enabled" || s.connector["exactly.once.support"] != "" && s.connector["exactly.once.support"] != "required" {
		t.Errorf("changes may come twice: the worker's exactly.once.source.support is %v", s.once)
	}
	tables := regexp.MustCompile(`create table (\w+)`).FindAllStringSubmatch(s.sql, -1)
	if len(tables) < 2 {
		t.Fatal("no tables")
	}
	for _, m := range tables {
		if !strings.Contains(s.sql, "alter table "+m[1]+" replica identity full;") {
			t.Errorf("%s: no REPLICA IDENTITY FULL", m[1])
		}
		if topic := s.connector["topic.prefix"] + ".public." + m[1]; !regexp.MustCompile(s.topics).MatchString(topic) {
			t.Errorf("%s does not match %s", topic, s.topics)
		}
	}
	for _, want := range []string{"create publication " + s.connector["publication.name"] + " for tables in schema public;", "create role " + s.connector["database.user"] + " login replication password"} {
		if !strings.Contains(s.sql, want) {
			t.Errorf("the database has no %q", want)
		}
	}
}

func composeSource(t *testing.T, c composeFile) (s source) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.Configs["connector.json"].Content), &s.connector); err != nil {
		t.Fatal(err)
	}
	s.once = c.Services["connect"].Environment["CONNECT_EXACTLY_ONCE_SOURCE_SUPPORT"]
	s.sql, s.topics = c.Configs["shop.sql"].Content, c.Services["sluice"].Environment["SLUICE_KAFKA_TOPICS"]
	return s
}

// versions of what the end-to-end tests run.
func e2eVersions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/e2e/versions")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.+)$`).FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = m[2]
	}
	return all
}

func unknownSettings(t *testing.T, env map[string]string) {
	t.Helper()
	var names []string
	for n := range env {
		names = append(names, n+"=")
	}
	if unknown := config.Unknown(names); len(unknown) > 0 {
		t.Errorf("no such settings: %v", unknown)
	}
}

// TestCompose: the example of one machine is whole: each name in it is there, its settings
// load, and its versions are those of the end-to-end tests, which run its tables, its
// connector and its settings with real servers (TestExample of deploy/e2e).
func TestCompose(t *testing.T) {
	var c composeFile
	readStrictly(t, "../../deploy/compose.yaml", &c)
	versions := e2eVersions(t)
	builder := map[string]string{} // by the image
	for name, s := range c.Services {
		if s.Build.Dockerfile == "" {
			continue
		}
		if other := builder[s.Image]; other != "" {
			t.Errorf("%s and %s both build %s", name, other, s.Image)
		}
		builder[s.Image] = name
	}
	for name, s := range c.Services {
		// What another service builds is in no registry, and not there unless that one is.
		if by := builder[s.Image]; by != "" && by != name && (s.PullPolicy != "never" || s.DependsOn[by].Condition == "") {
			t.Errorf("%s: want pull_policy: never and a dependency on %s, which builds %s", name, by, s.Image)
		}
		_, tag, _ := strings.Cut(s.Image, ":")
		if tag == "" || tag == "latest" {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		for image, want := range map[string]string{"apache/kafka:": versions["kafka"], "debezium/connect:": versions["debezium"]} {
			if strings.Contains(s.Image, image) && tag != want {
				t.Errorf("%s: %s, and the tests run %s", name, s.Image, want)
			}
		}
		if s.Build.Dockerfile != "" {
			if _, err := os.Stat(filepath.Join("../../deploy", s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
		}
		for other, how := range s.DependsOn {
			switch o, ok := c.Services[other]; {
			case !ok, how.Condition == "service_healthy" && o.Healthcheck == nil, how.Condition != "service_healthy" && how.Condition != "service_started":
				t.Errorf("%s depends on %s by %q", name, other, how.Condition)
			}
		}
		for _, f := range s.Configs {
			if c.Configs[f.Source].Content == "" || strings.Contains(c.Configs[f.Source].Content, "$") {
				t.Errorf("%s: the config %s is not there, or has a $, which Compose replaces", name, f.Source)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, p)
			}
		}
	}
	env := c.Services["sluice"].Environment
	unknownSettings(t, env)
	cfg, err := config.Load(t.Context(), func(n string) (string, bool) { v, ok := env[n]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if grace, err := time.ParseDuration(c.Services["sluice"].StopGrace); err != nil || grace < cfg.DrainTimeout+afterDrain {
		t.Errorf("stop_grace_period %v has no room for a drain of %v and %v after it (%v)", grace, cfg.DrainTimeout, afterDrain, err)
	}
	host := regexp.MustCompile(`^(?:http://)?([a-z]+):\d+$`)
	s := composeSource(t, c)
	for _, address := range append([]string{cfg.Celonis.URL, c.Services["connect"].Environment["BOOTSTRAP_SERVERS"], s.connector["database.hostname"] + ":" + s.connector["database.port"]}, cfg.Kafka.Brokers...) {
		if m := host.FindStringSubmatch(address); m == nil || c.Services[m[1]].Image == "" {
			t.Errorf("%s is the address of no service", address)
		}
	}
	s.check(t)
}

type tree = map[string]any

// at is what is found on a path of keys and indexes, nil if nothing is.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(tree)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

// manifests are the objects of deploy/kubernetes, by kind and name.
func manifests(t *testing.T) map[string]tree {
	t.Helper()
	all := map[string]tree{}
	files, _ := filepath.Glob("../../deploy/kubernetes/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()); ; {
			var o tree
			if err := d.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[fmt.Sprintf("%v/%v", o["kind"], at(o, "metadata", "name"))] = o
		}
	}
	return all
}

// TestKubernetesExample: the objects and the chart's values find one another, and the source
// is that of the example of one machine. That the chart takes the values, and Kubernetes its
// own kinds of objects, is shown by .ci/chart.
func TestKubernetesExample(t *testing.T) {
	var values struct {
		Kafka struct {
			Brokers       []string
			Topics, Group string
		}
		Celonis struct {
			URL    string `yaml:"url"`
			PoolID string `yaml:"poolId"`
		}
		Replicas int
		Env      map[string]string
		Secrets  map[string]struct{ Name, Key string }
	}
	readStrictly(t, "../../deploy/kubernetes/values.yaml", &values)
	all := manifests(t)
	need := func(name string) tree {
		t.Helper()
		o := all[name]
		if o == nil {
			t.Errorf("no %s", name)
		}
		return o
	}
	kafka, connect, connector := need("Kafka/shop"), need("KafkaConnect/connect"), need("KafkaConnector/shop")
	broker := fmt.Sprintf("shop-kafka-bootstrap:%v", at(kafka, "spec", "kafka", "listeners", 0, "port"))
	if values.Kafka.Brokers[0] != broker || at(connect, "spec", "bootstrapServers") != broker {
		t.Errorf("the brokers are at %s", broker)
	}
	for name, o := range all {
		cluster := map[string]string{"KafkaNodePool": "shop", "KafkaUser": "shop", "KafkaTopic": "shop", "KafkaConnector": "connect"}
		kind, _, _ := strings.Cut(name, "/")
		if want, ok := cluster[kind]; ok && at(o, "metadata", "labels", "strimzi.io/cluster") != want {
			t.Errorf("%s is not of the cluster %s", name, want)
		}
	}
	need("KafkaUser/" + values.Env["SLUICE_KAFKA_SASL_USERNAME"])
	need("KafkaUser/" + fmt.Sprint(at(connect, "spec", "authentication", "username")))
	need("KafkaTopic/" + values.Env["SLUICE_DEADLETTER_TOPIC"])
	// Strimzi makes the Secrets of its users and of its authority.
	secret := func(name, key string) {
		t.Helper()
		if all["KafkaUser/"+name] != nil && key == "password" || name == "shop-cluster-ca-cert" && key == "ca.crt" {
			return
		}
		if at(need("Secret/"+name), "stringData", key) == nil {
			t.Errorf("Secret %s has no %s", name, key)
		}
	}
	for _, s := range values.Secrets {
		secret(s.Name, s.Key)
	}
	env := at(connect, "spec", "template", "connectContainer", "env", 0)
	secret(at(env, "valueFrom", "secretKeyRef", "name").(string), at(env, "valueFrom", "secretKeyRef", "key").(string))
	for _, e := range at(need("StatefulSet/postgres"), "spec", "template", "spec", "containers", 0, "env").([]any) {
		if ref := at(e, "valueFrom", "secretKeyRef"); ref != nil {
			secret(at(ref, "name").(string), at(ref, "key").(string))
		}
	}
	unknownSettings(t, values.Env)

	versions := e2eVersions(t)
	if at(kafka, "spec", "kafka", "version") != versions["kafka"] || at(connect, "spec", "version") != versions["kafka"] ||
		strings.Count(at(connect, "spec", "build", "plugins", 0, "artifacts", 0, "url").(string), versions["debezium"]) != 2 {
		t.Errorf("the tests run Kafka %s and Debezium %s", versions["kafka"], versions["debezium"])
	}

	var c composeFile
	readStrictly(t, "../../deploy/compose.yaml", &c)
	other := composeSource(t, c)
	s := source{once: at(connect, "spec", "config", "exactly.once.source.support"), connector: map[string]string{"connector.class": at(connector, "spec", "class").(string), "tasks.max": fmt.Sprint(at(connector, "spec", "tasksMax"))},
		sql: at(need("ConfigMap/postgres"), "data", "shop.sh").(string), topics: values.Kafka.Topics}
	for k, v := range at(connector, "spec", "config").(tree) {
		s.connector[k] = fmt.Sprint(v)
	}
	s.check(t)
	if want := fmt.Sprintf("${env:%v}", at(env, "name")); s.connector["database.password"] != want {
		t.Errorf("the connector's password is not %s", want)
	}
	for _, k := range []string{"database.password", "topic.creation.default.replication.factor"} {
		s.connector[k] = other.connector[k]
	}
	if s.topics != other.topics || !reflect.DeepEqual(s.connector, other.connector) {
		t.Errorf("the examples differ:\n%v %v\n%v %v", s.topics, s.connector, other.topics, other.connector)
	}
	if !strings.Contains(s.sql, strings.Replace(other.sql, "'debezium-secret'", ":'password'", 1)) {
		t.Error("the examples make different databases")
	}
}
