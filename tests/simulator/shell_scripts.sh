# Scripts that the simulated sh has to run as the real one does. A line of four # and a name begins each.

#### words
echo a  b 'c  d' "e  f" g\ h; echo -n x; echo; echo 'a\tb'

#### status
false; echo $?; (exit 7); echo $?; ! true; echo $?; x=$(exit 3); echo $?; x=1; echo $?

#### status stays for assignments
sh -c 'exit 4'; s=$?; echo $s $?; false; t=$?$(true); echo $t $?

#### and or
true && echo 1 || echo 2; false && echo 3 || echo 4; false || false || echo 5; true || echo 6 && echo 7

#### if
if false; then echo 1; elif true; then echo 2; else echo 3; fi; if false; then :; fi; echo $?

#### for
for x in 1 "2 3" 4; do echo "<$x>"; done; for y in; do echo no; done; echo $?

#### while
i=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo $i; done; until [ $i = 0 ]; do i=$((i-1)); done; echo $i

#### break
for a in 1 2 3; do for b in 1 2 3; do [ $b = 2 ] && continue 2; [ $a = 3 ] && break 2; echo $a$b; done; done; echo end

#### case
for x in abc a.c '' '*' 12; do case $x in a?c) echo one;; '*') echo star;; [0-9]*) echo digit;; '') echo none;; *) echo other;; esac; done

#### case with newlines
case x in
  (y) echo y ;;
  x|z)
    echo xz
esac

#### functions
f() { echo "$# $1"; set -- z; return 3; }; f 'a b' c; echo $? $#; g() { local v=2; echo $v; }; v=1; g; echo $v

#### arguments
set -- "a b" c ""; echo $#; for x in "$@"; do echo "<$x>"; done; for x in $@; do echo "<$x>"; done; echo "$*"; shift; echo $1; set --; echo $#

#### joined arguments
set -- 1 2; IFS=,; echo "$*" "x$@y"; unset IFS; echo "$*"

#### parameters
unset a; b=; c=v; echo "${a-1}" "${b-2}" "${b:-3}" "${c:-4}" "${a+5}" "${c+6}" "${b:+7}" "${a:=8}" "$a" ${#c} ${c:+"x  y"}

#### trimming
p=/usr/local/bin/k3s.tar.gz; echo ${p##*/} ${p%/*} ${p%%.*} ${p#*/} ${p%.gz} "${p%"${p##*/}"}"; v=aXbXc; echo ${v%X*} ${v%%X*} ${v#*X} ${v##*X}

#### splitting
x='  a b  c '; for i in $x; do echo "<$i>"; done; IFS=:; y=a::b:; for i in $y; do echo "<$i>"; done; for i in "$y"; do echo "<$i>"; done

#### substitution
echo "$(echo a; echo b)" $(printf 'c\n\nd\n\n') `echo e \`echo f\``; x=$(cat <<E
in $((1+1))
E
); echo $x

#### arithmetic
a=5; echo $((a*2+1)) $((a%3)) $(( (a+1)/2 )) $((a>3&&a<9)) $((!a)) $((-7/2)) $((-7%2)) $((1<<4|3)) $((a==5?10:20)) $((0x1f)) $((010)); : $((a+=2)); echo $a

#### here documents
x=v; cat <<A; cat <<'B'; cat <<-C
$x $(echo sub) \$x "q"
A
$x $(echo sub)
B
	stripped
	$x
	C
echo end

#### redirections
cd /tmp; d=hosts-test.$$; mkdir $d; cd $d; echo one >f; echo two >>f; cat <f; { echo out; echo err >&2; } >g 2>&1; cat g; echo gone >/dev/null; cd ..; rm -r $d

#### descriptors
exec 3>&1; { echo to-three >&3; echo to-one; } | tr a-z A-Z; exec 3>&-; { echo x >&3; } 2>/dev/null; echo $?

#### pipes
printf '3\n1\n2\n' | sort | head -n 2 | tr '\n' ' '; echo; echo a | { read x; echo "got $x"; }; false | true; echo $?; true | false; echo $?

#### subshell
x=1; (x=2; cd /; echo $x); echo $x; { x=3; }; echo $x; (exit 5) || echo $?

#### errexit
set -e; false || true; if false; then :; fi; ! true; (false) || echo caught; f() { false; echo not ended; }; f && echo ok; false; echo unreached

#### errexit in substitution
set -e; x=$(false; echo x); echo "<$x>"; y=$(false); echo unreached

#### nounset
set -u; echo ${a-unset}; echo $a; echo unreached

#### traps
trap 'echo bye $?' EXIT; (trap 'echo inner' EXIT; exit 2); echo $?; exit 3

#### signals
trap 'echo term' TERM; kill -TERM $$; echo after; trap '' TERM; kill -TERM $$; echo still; trap - TERM; kill -TERM $$; echo unreached

#### background
(exit 6) & wait $!; echo $?; sleep 0.05 & p=$!; kill $p; wait $p; echo $?; echo x | cat & wait; echo done

#### read
printf 'a b c\n  d  \nx\\\ny\n' | { read p q; echo "<$p><$q>"; read -r r; echo "<$r>"; read s; echo "<$s>"; read t; echo $?; }

#### read with separators
printf 'k=v=w\na:b\n' | { IFS='=' read -r k v; echo "<$k><$v>"; IFS=: read a b c; echo "<$a><$b><$c>"; }; echo "[$IFS]" | wc -c | tr -d ' '

#### read a file
cd /tmp; f=read-test.$$; printf '1\n2\n3' >$f; n=0; while read l; do n=$((n+l)); done <$f; echo $n "$l"; while read -r l || [ -n "$l" ]; do echo "$l"; done <$f; rm $f

#### printf
printf '%s|%5s|%-5s|%05d|%x|%o|%c|%%|%b\n' a b c 42 255 8 xyz 'q\tr'; printf '%s,' 1 2 3; printf '\n%d %d\n' 010 0x10; printf '%.2s\n' abcdef

#### test
[ a ] && [ ! '' ] && [ a = a -a b != c ] && [ 1 -lt 2 ] && [ -d / ] && [ ! -e /nonexistent ] && [ -z '' ] && [ -n x ] && [ '(' = '(' ] && echo all; [ -f / ]; echo $?; test; echo $?; [ a = b -o c = c ]; echo $?

#### quotes in quotes
x="a'b"; y='c"d'; echo "$x $y \" \\ \$x \a" '\n' "${x}'"

#### eval
x='echo $y'; y=z; eval "$x"; eval 'a=1; b=2'; echo $a$b; eval 'false'; echo $?

#### temporary assignments
x=1; x=2 sh -c 'echo $x'; echo $x; y=5 true; echo ${y-unset}; HOME=/elsewhere; cd ~ 2>/dev/null || echo $HOME ~/a

#### exports
a=1; export b=2; sh -c 'echo ${a-no} ${b-no}'; unset b; sh -c 'echo ${b-no}'; readonly c=3; (c=4) 2>/dev/null; echo $c

#### exec
(exec echo replaced; echo unreached); sh -c 'exec sh -c "exit 9"'; echo $?

#### script on input
printf 'echo 1\nif true\nthen echo 2\nfi\nexit 4\necho no\n' | sh -s; echo $?; echo 'echo $1-$#' | sh -s a b

#### command
command -v echo; command -v nonexistent-program; echo $?; command echo x; type cd >/dev/null && echo known

#### patterns of files
cd /tmp; d=glob.$$; mkdir $d; cd $d; touch a1 a2 b1 .h 'c d'; echo *; echo a?; echo [ab]1; echo no*match '*' "a*"; x='a*'; echo $x "$x"; for f in *; do echo "<$f>"; done; cd ..; rm -r $d

#### long lines
echo a \
  b; echo "c\
d"; true &&
echo e |
cat # comment
# all comment
echo f#g '#h'

#### locals and recursion
fact() { if [ $1 -le 1 ]; then echo 1; else echo $(( $1 * $(fact $(( $1 - 1 ))) )); fi; }; fact 6

#### sed
printf 'a=1\nb=2\nc=3\n' | sed -n 's/^b=//p'; printf 'x y z\n' | sed 's/ /-/g; s/x/[&]/'; printf '1\n2\n3\n4\n' | sed -n '2,3p'; printf 'a\nb\n' | sed '/a/d'; echo abc | sed -E 's/(a)(b)/\2\1/'

#### grep
printf 'foo\nbar\nbaz\n' | grep ba; printf 'a.b\naxb\n' | grep -F a.b; echo x | grep -q y; echo $?; printf 'a1\nb\n' | grep -c '[0-9]'; printf 'k: v\n' | grep -E '^(k|l): +v$'; printf 'see https://a:1 x\n' | grep -o 'https://[a-z0-9:]*'; printf 'a\nb\n' | grep -v a; printf 'ab\n' | grep 'a\(b\)'

#### cut tr wc
echo a:b:c | cut -d: -f2; echo a:b:c | cut -d: -f1,3; echo abcdef | cut -c2-4; echo HeLLo | tr A-Z a-z; echo 'a  b' | tr -s ' '; echo a1b2 | tr -d 0-9; printf 'a\nb\n' | wc -l | tr -d ' '; printf '5\n10\n9\n' | sort -n; printf 'b\na\nb\n' | sort -u; printf 'a\na\nb\n' | uniq

#### head tail
printf '1\n2\n3\n4\n' | head -n 2; printf '1\n2\n3\n4\n' | tail -n 1; printf '1\n2\n3\n' | tail -n +2; printf abcdef | head -c 3; echo; printf '1\n2\n' | head -1

#### files
cd /tmp; d=files.$$; mkdir -p $d/a/b; cd $d; echo x >f; chmod 640 f; stat -c %a f; cp f g; mv g a/h; ls a; cat a/h; ln -s f l; readlink l; [ -L l ] && echo link; rm -f nothing f; [ -e l ]; echo $?; ls -A; rmdir a 2>/dev/null; echo $?; cd ..; rm -rf $d; [ -d $d ]; echo $?

#### install
cd /tmp; d=inst.$$; mkdir $d; cd $d; echo s | install -m 0600 /dev/stdin t; stat -c '%a %s' t; cat t; install -d -m 0700 e; stat -c %a e; umask 077; echo y >u; stat -c %a u; cd ..; rm -r $d

#### sums
printf abc | sha256sum; cd /tmp; f=sum.$$; printf abc >$f; s=$(sha256sum $f); echo "${s%% *}  $f" | sha256sum -c --status; echo $?; echo "0000  $f" | sha256sum -c --status; echo $?; rm $f; printf hello | base64; echo aGVsbG8= | base64 -d; echo

#### names of paths
dirname /a/b/c a b/; basename /a/b.txt .txt; dirname -- /x; basename /a/; readlink -f /usr/../usr/bin/..; seq 3 | xargs echo

#### temporary files
t=$(mktemp); stat -c %a $t; rm $t; t=$(mktemp -d); stat -c %a $t; rmdir $t; t=$(mktemp -- /tmp/.x.XXXXXXXX); echo ${#t}; rm -f -- "$t"

#### timeout
timeout 0.1 sleep 5; echo $?; timeout 5 sh -c 'exit 3'; echo $?; env -i A=1 sh -c 'echo $A ${HOME-none}'

#### tee
cd /tmp; f=tee.$$; echo a | tee $f; echo b | tee -a $f >/dev/null; cat $f; rm $f

#### broken pipe
yes() { while :; do echo y; done; }; yes | head -n 2; seq 100000 | head -n 1

#### many bytes
i=0; while [ $i -lt 300 ]; do printf '%0512d' $i; i=$((i+1)); done | wc -c | tr -d ' '

#### process numbers
[ $$ = $(sh -c 'echo $PPID') ] && echo same; (sh -c 'echo $PPID' | grep -q "^$$\$") || echo other; [ -n "$PPID" ] && echo ppid

#### session
setsid sh -c 'echo in session; kill -TERM 0; sleep 5; echo unreached' & wait $!; echo $?

#### umask in subshell
umask 022; (umask 077; umask); umask

#### set options
set -f; echo /*; set +f; set -- -a b; echo $1; set -e +e; echo ok; case $- in *f*) echo f;; *) echo none;; esac

#### empty expansions
x=; set -- $x "$x" a$x; echo $#; set -- ${y-}; echo $#; set -- "${y-}"; echo $#

#### comments and semicolons
echo a; # rest
echo b;


echo c
: nothing

#### what a script on input reads is gone for the script
printf 'echo a\ncat\nrest\n' | sh -s 2>/dev/null; echo $?; printf 'echo a; exit 3\nrest\n' | sh; echo $?
