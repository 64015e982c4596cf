(function(){
var stale=document.getElementById("stale"),stream;
function put(event){
var parts=JSON.parse(event.data),active=document.activeElement;
stale.hidden=true;
Object.keys(parts).forEach(function(id){
var place=document.getElementById(id),again;
if(!place)return;
again=place.contains(active)&&active.id;
place.innerHTML=parts[id];
if(again&&(again=document.getElementById(again)))again.focus();
});
}
function listen(){
stream=new EventSource(document.body.dataset.live);
stream.onmessage=put;
stream.onerror=function(){
stale.hidden=false;
if(stream.readyState===2)setTimeout(function(){location.reload()},10000);
};
}
addEventListener("pagehide",function(){if(stream)stream.close()});
addEventListener("pageshow",function(event){if(event.persisted)listen()});
listen();
})();
