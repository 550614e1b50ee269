// A program that is there to be looked at: its modules have advisories.
package main

import (
	"fmt"

	jwt "github.com/dgrijalva/jwt-go"
	"github.com/gin-gonic/gin"
	"github.com/gogo/protobuf/proto"
	uuid "github.com/satori/go.uuid"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/html"
	"golang.org/x/text/language"
	"gopkg.in/yaml.v2"
)

func main() {
	var tree any
	fmt.Println(yaml.Unmarshal([]byte("a: 1"), &tree), language.English, uuid.Nil, gin.Version)
	fmt.Println(jwt.SigningMethodHS256, proto.Size(nil), html.EscapeString("<"), ssh.KeyAlgoRSA)
}
