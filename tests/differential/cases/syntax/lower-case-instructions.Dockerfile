arg BASE
from $BASE as a
env A=1
copy a.txt /x
run echo x >/y
